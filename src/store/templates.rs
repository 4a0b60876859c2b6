//! Templates that were stored: every version under its number, and which of them holds.
//!
//! A number is never given twice, not even after a template was deleted: a notification that waits until morning names
//! the version that it was made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::codec::Record;
use super::error::{Answer, StoreError};
use super::keys;
use super::open::Store;
use super::txn::Txn;
use super::users::Page;
use super::view::Read;
use crate::clock::Millis;
use crate::model::notification::Priority;
use crate::model::template::{Part, Template, Texts, VERSIONS_MAX};

/// One version of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number, from 1.
    pub version: u32,
    /// When it was stored.
    pub at: Millis,
    /// What it says.
    pub template: Template,
}

/// Why a template's version cannot be made the one that holds.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RollBackError {
    /// There is no template of that name.
    #[error("there is no template of that name")]
    NoTemplate,
    /// It has no such version, or none any more.
    #[error("the template has no version {0}")]
    NoVersion(u32),
    /// The store cannot do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which version of a template holds; `None` after it was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeadV1 {
    current: Option<u32>,
    newest: u32,
}

impl Record for HeadV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "template head";
}

/// Sources stand under the names of their fields, so that a part that is added later is no new shape.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TemplateV1 {
    at: Millis,
    kind: String,
    texts: BTreeMap<String, String>,
    locales: BTreeMap<String, BTreeMap<String, String>>,
    variables: Vec<String>,
    optional: Vec<String>,
    priority: u8,
    category: String,
}

impl Record for TemplateV1 {
    const VERSION: u8 = 1;
    const NAME: &'static str = "template";
}

impl TemplateV1 {
    fn of(template: &Template, at: Millis) -> TemplateV1 {
        let texts = |texts: &Texts| {
            texts.iter().map(|(part, source)| (part.field().to_owned(), source.clone())).collect()
        };
        TemplateV1 {
            at,
            kind: template.kind.clone(),
            texts: texts(&template.texts),
            locales: template.locales.iter().map(|(locale, own)| (locale.clone(), texts(own))).collect(),
            variables: template.variables.clone(),
            optional: template.optional.clone(),
            priority: keys::priority_byte(template.priority),
            category: template.category.clone(),
        }
    }

    fn into_stored(self, name: &str, version: u32) -> Stored {
        let texts = |texts: BTreeMap<String, String>| {
            texts.into_iter().filter_map(|(field, source)| Some((Part::of_field(&field)?, source))).collect()
        };
        Stored {
            version,
            at: self.at,
            template: Template {
                name: name.to_owned(),
                kind: self.kind,
                texts: texts(self.texts),
                locales: self.locales.into_iter().map(|(locale, own)| (locale, texts(own))).collect(),
                variables: self.variables,
                optional: self.optional,
                priority: keys::priority_of(self.priority).unwrap_or(Priority::Medium),
                category: self.category,
            },
        }
    }
}

fn head_key(name: &str) -> Vec<u8> {
    keys::named(keys::TEMPLATE, name.as_bytes())
}

fn version_of(read: &impl Read, name: &str, version: u32) -> Answer<Option<Stored>> {
    let record: Option<TemplateV1> = read.get(&keys::template_version(name, version))?;
    Ok(record.map(|record| record.into_stored(name, version)))
}

impl Store {
    /// Every template in the version that holds. They are few: see `TEMPLATES_MAX`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn templates(&self) -> Answer<Vec<Stored>> {
        self.read(move |view| {
            let mut holding = Vec::new();
            view.scan(&[keys::TEMPLATE], &[keys::TEMPLATE + 1], false, &mut |key, value| {
                let head: HeadV1 = view.open_value(key, value)?;
                if let Some(current) = head.current {
                    holding.push((
                        String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned(),
                        current,
                    ));
                }
                Ok(true)
            })?;
            let mut found = Vec::with_capacity(holding.len());
            for (name, version) in holding {
                found.extend(version_of(view, &name, version)?);
            }
            Ok(found)
        })
        .await
    }

    /// One version of a template, whether or not it holds.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn template_version(&self, name: &str, version: u32) -> Answer<Option<Stored>> {
        let name = name.to_owned();
        self.read(move |view| version_of(view, &name, version)).await
    }

    /// The versions of a template, newest first, older than `before`.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn template_versions(
        &self,
        name: &str,
        before: Option<u32>,
        limit: usize,
    ) -> Answer<Page<Stored>> {
        let name = name.to_owned();
        self.read(move |view| {
            let from = keys::template_version(&name, 0);
            let to = keys::template_version(&name, before.unwrap_or(u32::MAX));
            let mut items = Vec::new();
            view.scan(&from, &to, true, &mut |key, value| {
                let Some(version) = keys::last_u32(key) else { return Ok(true) };
                let record: TemplateV1 = view.open_value(key, value)?;
                items.push(record.into_stored(&name, version));
                Ok(items.len() <= limit)
            })?;
            Ok(Page::cut(items, limit, |stored| stored.version.to_string()))
        })
        .await
    }
}

impl Txn<'_> {
    /// Stores a template as a new version, which holds from now on; the oldest goes where there are too many. Answers
    /// its number, and whether there was none of that name.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn put_template(&mut self, template: &Template, at: Millis) -> Answer<(u32, bool)> {
        let name = &template.name;
        let head: HeadV1 = self.get(&head_key(name))?.unwrap_or_default();
        let version = head.newest.saturating_add(1);
        self.put(keys::template_version(name, version), &TemplateV1::of(template, at));
        self.put(head_key(name), &HeadV1 { current: Some(version), newest: version });
        let kept = u32::try_from(VERSIONS_MAX).unwrap_or(u32::MAX);
        if let Some(oldest) = version.checked_sub(kept).filter(|oldest| *oldest > 0) {
            self.remove(&keys::template_version(name, oldest))?;
        }
        Ok((version, head.current.is_none()))
    }

    /// Makes another version of a template the one that holds.
    ///
    /// # Errors
    /// Where there is no such template or version, or the store cannot be read.
    pub fn roll_back_template(&mut self, name: &str, version: u32) -> Result<(), RollBackError> {
        let head: HeadV1 = self.get(&head_key(name))?.unwrap_or_default();
        if head.current.is_none() {
            return Err(RollBackError::NoTemplate);
        }
        if self.raw(&keys::template_version(name, version))?.is_none() {
            return Err(RollBackError::NoVersion(version));
        }
        self.put(head_key(name), &HeadV1 { current: Some(version), ..head });
        Ok(())
    }

    /// Removes a template with all its versions; answers whether there was one.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn remove_template(&mut self, name: &str) -> Answer<bool> {
        let head: HeadV1 = self.get(&head_key(name))?.unwrap_or_default();
        if head.current.is_none() {
            return Ok(false);
        }
        let (from, to) = (keys::template_version(name, 0), keys::template_version(name, u32::MAX));
        let mut versions = Vec::new();
        self.scan(&from, &to, false, &mut |key, _| {
            versions.push(key.to_vec());
            Ok(true)
        })?;
        for key in &versions {
            self.remove(key)?;
        }
        // What is left says which number comes next.
        self.put(head_key(name), &HeadV1 { current: None, newest: head.newest });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::{decode, encode};
    use super::*;

    fn template() -> Template {
        let mut template = Template::built_in().remove(0);
        template.texts.insert(Part::SmsText, "{{stage}}".to_owned());
        let title = BTreeMap::from([(Part::Title, "Prüfen: {{workflow_name}}".to_owned())]);
        template.locales = BTreeMap::from([("de".to_owned(), title)]);
        template
    }

    #[test]
    fn a_template_reads_back_as_it_was_written() {
        let read: TemplateV1 = decode(&encode(&TemplateV1::of(&template(), 5))).expect("our own bytes");
        let name = template().name;
        assert_eq!(read.into_stored(&name, 3), Stored { version: 3, at: 5, template: template() });
    }

    /// These bytes are on people's disks. A test that fails here wants a new version of the record, not new bytes.
    #[test]
    fn version_one_of_each_record_keeps_its_bytes() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(encode(&HeadV1 { current: Some(2), newest: 300 })), "010102fb2c01");
        let stored = hex(encode(&TemplateV1::of(&template(), 1_000)));
        assert_eq!(stored, include_str!("golden/template.v1.hex").trim());
    }
}
