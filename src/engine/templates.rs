//! Templates: stored, brought back, and turned into what a notification says.

use std::sync::Arc;

use serde_json::Value;

use super::Engine;
use crate::model::channel::Channel;
use crate::model::notification::{MESSAGE_BYTES_MAX, Notification, TITLE_CHARS_MAX, TemplateUse};
use crate::model::template::{TEMPLATES_MAX, Template, Texts};
use crate::model::user::User;
use crate::render::{Composed, EmailView, Loaded, Reader, RenderError, Rendered, Unfit};
use crate::store::templates::{RollBackError, Stored};
use crate::store::{StoreError, Txn};

/// Why a template is not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PutError {
    /// It does not compile, or holds what is not allowed.
    #[error("{0}")]
    Unfit(Unfit),
    /// There are too many already.
    #[error("there are {TEMPLATES_MAX} templates, and no more can be stored")]
    TooMany,
    /// The store cannot do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a template does not become a text.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DraftError {
    /// It does not render.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The reader cannot be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a template says to one person.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The template.
    pub loaded: Arc<Loaded>,
    /// Its title and message.
    pub rendered: Rendered,
    /// How to render it again for a channel or a person, where it says something else there.
    pub used: Option<TemplateUse>,
}

/// What a template says on every channel that has something of its own.
#[derive(Clone, Debug)]
pub struct Preview {
    /// Title and message, as the inbox shows them.
    pub rendered: Rendered,
    /// Each channel's message.
    pub channels: Vec<(Channel, Composed)>,
}

/// Channels whose messages a preview shows.
const PREVIEWED: [Channel; 3] = [Channel::Email, Channel::Sms, Channel::BrowserPush];

impl Engine {
    /// Compiles what is stored, once, before anything is served. Answers the names of those that do not compile any
    /// more: they are kept and render to nothing.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn load_templates(&self) -> Result<Vec<String>, StoreError> {
        let stored = self.store().templates().await?;
        let engine = self.clone();
        let load = move || {
            let loaded: Vec<Loaded> = stored.into_iter().map(|stored| engine.compiled(stored)).collect();
            let broken = loaded.iter().filter(|loaded| loaded.trouble().is_some());
            let broken = broken.map(|loaded| loaded.template().name.clone()).collect();
            loaded.into_iter().for_each(|loaded| engine.renderer().keep(Arc::new(loaded)));
            broken
        };
        Ok(self.shared.supervisor.blocking("template-load", load).await.unwrap_or_default())
    }

    fn compiled(&self, stored: Stored) -> Loaded {
        match self.renderer().compile(stored.template.clone()) {
            Ok(loaded) => loaded.as_version(stored.version, stored.at),
            Err(unfit) => {
                let name = &stored.template.name;
                tracing::error!(template = %name, version = stored.version, %unfit, "a stored template does not compile");
                Loaded::broken(stored.template, stored.version, stored.at, unfit.to_string())
            }
        }
    }

    /// Stores a template as a new version, which holds at once. Answers it, and whether there was none of that name.
    ///
    /// # Errors
    /// See [`PutError`].
    pub async fn put_template(&self, template: Template) -> Result<(Arc<Loaded>, bool), PutError> {
        let renderer = self.renderer().clone();
        let fresh = renderer.template(&template.name).is_none_or(|loaded| loaded.version() == 0);
        if fresh && renderer.stored_len() >= TEMPLATES_MAX {
            return Err(PutError::TooMany);
        }
        let compile = move || renderer.compile(template);
        let compiled = self.shared.supervisor.blocking("template-compile", compile).await;
        let lost = || StoreError::Unavailable("compiling the template panicked".into());
        let compiled = compiled.ok_or_else(lost)?.map_err(PutError::Unfit)?;
        let (renderer, now) = (self.renderer().clone(), self.now());
        let put = move |txn: &mut Txn<'_>| {
            let (version, fresh) = txn.put_template(compiled.template(), now)?;
            let loaded = Arc::new(compiled.as_version(version, now));
            let kept = loaded.clone();
            txn.after(move || renderer.keep(kept));
            Ok::<_, StoreError>((loaded, fresh))
        };
        Ok(self.store().commit(put).await?)
    }

    /// Removes a stored template; one that is built in comes back. Answers whether there was one.
    ///
    /// # Errors
    /// Where the store takes no writes.
    pub async fn remove_template(&self, name: &str) -> Result<bool, StoreError> {
        let (renderer, name) = (self.renderer().clone(), name.to_owned());
        self.store()
            .commit(move |txn| {
                let removed = txn.remove_template(&name)?;
                txn.after(move || renderer.forget(&name));
                Ok(removed)
            })
            .await
    }

    /// Makes an older version of a template the one that holds.
    ///
    /// # Errors
    /// See [`RollBackError`].
    pub async fn roll_back_template(&self, name: &str, version: u32) -> Result<Arc<Loaded>, RollBackError> {
        let stored = self.store().template_version(name, version).await?;
        let stored = stored.ok_or(RollBackError::NoVersion(version))?;
        let engine = self.clone();
        let compile = move || engine.compiled(stored);
        let compiled = self.shared.supervisor.blocking("template-compile", compile).await;
        let lost = || StoreError::Unavailable("compiling the template panicked".into());
        let loaded = Arc::new(compiled.ok_or_else(lost)?);
        let (renderer, name) = (self.renderer().clone(), name.to_owned());
        let roll_back = move |txn: &mut Txn<'_>| {
            txn.roll_back_template(&name, version)?;
            let kept = loaded.clone();
            txn.after(move || renderer.keep(kept));
            Ok::<_, RollBackError>(loaded)
        };
        self.store().commit(roll_back).await
    }

    /// What the template `name` says to the person `user`, in their language and zone where they are known.
    ///
    /// # Errors
    /// See [`DraftError`].
    pub async fn draft(
        &self,
        name: &str,
        variables: &Value,
        user: Option<&str>,
    ) -> Result<Draft, DraftError> {
        let loaded = self.renderer().template(name).ok_or(RenderError::UnknownTemplate)?;
        let reader = match user {
            Some(user) => self.reader(user).await?,
            None => Reader::default(),
        };
        let (renderer, of, to) = (self.renderer().clone(), loaded.clone(), reader.clone());
        let rendered =
            self.rendered(&loaded, variables, move |variables| renderer.render(&of, variables, &to)).await?;
        let used = loaded.varies().then(|| TemplateUse {
            name: name.to_owned(),
            version: loaded.version(),
            variables: variables.to_string(),
            locale: reader.locale,
        });
        Ok(Draft { loaded, rendered, used })
    }

    /// What the template of a notification says of its own on `channel`. Empty where it has none, says the same there,
    /// or is gone: then the channel carries what was rendered when the notification was accepted.
    pub(super) async fn own_texts(
        &self,
        notification: &Notification,
        user: &User,
        channel: Channel,
    ) -> Result<Texts, DraftError> {
        let Some(used) = &notification.template else { return Ok(Texts::new()) };
        let Some(loaded) = self.used(used).await?.filter(|loaded| loaded.speaks_on(channel)) else {
            return Ok(Texts::new());
        };
        let variables = read_variables(used);
        let locale = used.locale.clone().or_else(|| user.locale.clone());
        let (renderer, of) = (self.renderer().clone(), loaded.clone());
        let reader = Reader { locale, zone: user.timezone.clone() };
        let work = move |variables: &Value| renderer.render_own(&of, channel, variables, &reader);
        Ok(self.rendered(&loaded, &variables, work).await?)
    }

    /// The template in the version that a notification was made from, where there still is one.
    async fn used(&self, used: &TemplateUse) -> Result<Option<Arc<Loaded>>, StoreError> {
        let current = self.renderer().template(&used.name);
        if current.as_ref().is_some_and(|loaded| loaded.version() == used.version) {
            return Ok(current);
        }
        if used.version == 0 {
            return Ok(self.renderer().built_in(&used.name));
        }
        let Some(stored) = self.store().template_version(&used.name, used.version).await? else {
            return Ok(None);
        };
        let engine = self.clone();
        let compiled = self.shared.supervisor.blocking("template-compile", move || engine.compiled(stored));
        Ok(compiled.await.map(Arc::new))
    }

    /// The notification in the words of the person it is given to, where it is one for many and its template knows
    /// their language. Called within a write, so what would take long stays as it is.
    pub(super) fn in_their_words(
        &self,
        txn: &Txn<'_>,
        notification: Notification,
    ) -> Result<Notification, StoreError> {
        let Some(used) = &notification.template else { return Ok(notification) };
        let loaded = self.renderer().template(&used.name).filter(|loaded| loaded.version() == used.version);
        let Some(loaded) = loaded else { return Ok(notification) };
        let reader =
            txn.user(&notification.user_id)?.map(|user| Reader { locale: user.locale, zone: user.timezone });
        let Some(reader) = reader.filter(|reader| loaded.knows(reader.locale.as_deref())) else {
            return Ok(notification);
        };
        let variables = read_variables(used);
        if loaded.is_heavy(&variables) {
            return Ok(notification);
        }
        let said = |reader: &Reader| {
            let rendered = self.renderer().render(&loaded, &variables, reader).ok()?;
            let title: String = rendered.title.chars().take(TITLE_CHARS_MAX).collect();
            let fits = !title.is_empty() && !rendered.message.trim().is_empty();
            (fits && rendered.message.len() <= MESSAGE_BYTES_MAX).then_some((title, rendered.message))
        };
        let Some((everybody, theirs)) = said(&Reader::default()).zip(said(&reader)) else {
            return Ok(notification);
        };
        // What the sender wrote in the place of the template's words stays.
        let pick = |given: String, everybody: String, theirs| if given == everybody { theirs } else { given };
        Ok(Notification {
            title: pick(notification.title, everybody.0, theirs.0),
            message: pick(notification.message, everybody.1, theirs.1),
            // It is its own now, and no longer what the others share.
            content: None,
            ..notification
        })
    }

    async fn reader(&self, user: &str) -> Result<Reader, StoreError> {
        let user = self.store().user(user).await?;
        Ok(user.map_or_else(Reader::default, |user| Reader { locale: user.locale, zone: user.timezone }))
    }

    /// What a template would say, on every channel at once. Nothing is written and nothing is sent.
    ///
    /// # Errors
    /// Where it does not render.
    pub async fn preview(
        &self,
        loaded: Arc<Loaded>,
        variables: &Value,
        reader: Reader,
        user: Option<&str>,
    ) -> Result<Preview, RenderError> {
        let (renderer, of) = (self.renderer().clone(), loaded.clone());
        let base_url = self.shared.rules.load().base_url.clone();
        let user = user.unwrap_or("the reader").to_owned();
        self.rendered(&loaded, variables, move |variables| {
            let rendered = renderer.render(&of, variables, &reader)?;
            let view = EmailView {
                title: &rendered.title,
                message: &rendered.message,
                action: None,
                priority: of.template().priority.name(),
                category: &of.template().category,
                user_id: &user,
                base_url: base_url.as_deref(),
                unsubscribe: None,
            };
            let mut channels = Vec::with_capacity(PREVIEWED.len());
            for channel in PREVIEWED {
                let own = renderer.render_own(&of, channel, variables, &reader)?;
                channels.push((channel, renderer.compose(channel, &view, own)?));
            }
            Ok(Preview { rendered, channels })
        })
        .await
    }

    /// Renders here where that is quick, and off the async threads where it may not be.
    async fn rendered<T: Send + 'static>(
        &self,
        loaded: &Loaded,
        variables: &Value,
        work: impl FnOnce(&Value) -> Result<T, RenderError> + Send + 'static,
    ) -> Result<T, RenderError> {
        if !loaded.is_heavy(variables) {
            return work(variables);
        }
        let variables = variables.clone();
        let done = self.shared.supervisor.blocking("render", move || work(&variables)).await;
        done.unwrap_or_else(|| {
            let template = loaded.template().name.clone();
            Err(RenderError::Failed { template, detail: "rendering it panicked".to_owned() })
        })
    }
}

/// What a notification's template was rendered with.
fn read_variables(used: &TemplateUse) -> Value {
    serde_json::from_str(&used.variables).unwrap_or_default()
}
