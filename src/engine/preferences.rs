//! The one place through which what is known of a person changes: read, changed and remembered in one commit.

use super::{Engine, Rules};
use crate::access::Link;
use crate::model::change::{Change, FieldChange, Origin};
use crate::model::channel::Channel;
use crate::model::user::User;
use crate::store::{StoreError, Txn};

/// A person as they are from now on.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The person.
    pub user: User,
    /// What of their preferences changed, for the history; nothing is remembered where nothing did.
    pub fields: Vec<FieldChange>,
}

/// What a change came to.
#[derive(Clone, Debug)]
pub struct Person {
    /// The person as they are now.
    pub user: User,
    /// Whether nobody had heard of them before.
    pub fresh: bool,
}

impl Engine {
    /// What a link in a message is about, if this server signed it.
    pub fn link(&self, signed: &str) -> Option<Link> {
        Link::read(signed, &self.shared.vault)
    }

    /// Where `user` unsubscribes from `category` on `channel`, if the server is reached from outside and they can.
    pub(super) fn unsubscribe_url(
        &self,
        user: &str,
        (category, required): (&str, bool),
        channel: Channel,
        rules: &Rules,
    ) -> Option<String> {
        let base_url = rules.base_url.as_deref().filter(|_| channel == Channel::Email && !required)?;
        let link = Link { user: user.to_owned(), category: category.to_owned(), channel };
        Some(format!("{}/u/{}", base_url.trim_end_matches('/'), link.signed(&self.shared.vault)))
    }

    /// Changes the person `id` by `change`, which sees them as they are, if they are known, and answers how they are to
    /// be, or nothing where they are to stay as they are. It runs on the store's writer thread, so of two changes at
    /// once neither is lost.
    ///
    /// # Errors
    /// What `change` says, and where the store takes no writes; then nothing changed.
    pub async fn change_person<E>(
        &self,
        id: &str,
        origin: Origin,
        change: impl FnOnce(&Txn<'_>, Option<User>) -> Result<Option<Changed>, E> + Send + 'static,
    ) -> Result<Option<Person>, E>
    where
        E: From<StoreError> + Send + 'static,
    {
        let (id, now, engine) = (id.to_owned(), self.now(), self.clone());
        self.shared
            .store
            .commit(move |txn| {
                let known = txn.user(&id)?;
                let fresh = known.is_none();
                let Some(Changed { mut user, fields }) = change(txn, known)? else { return Ok(None) };
                if fresh {
                    user.created_at = now;
                }
                user.updated_at = now;
                txn.put_user(&user)?;
                engine.preferences_changed(txn, &user)?;
                if !fields.is_empty() {
                    txn.push_change(&id, &Change { at: now, origin, fields })?;
                }
                Ok(Some(Person { user, fresh }))
            })
            .await
    }
}
