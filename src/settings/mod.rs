//! Declares settings: one declaration of a key is at once its field, its default, its check and its documentation.
//!
//! Each room declares its own struct with `settings!`, or with `sections!` when it is made of smaller ones.
//! Nothing here reads a file or the environment: `config` gathers what the sources gave into a [`Given`] and hands
//! it to the rooms, which take out of it what is theirs.

mod given;
mod kind;
mod measure;
mod written;

pub use given::{Fault, Given, Origin, Violation};
pub use kind::{
    Kind, list, one_of, optional, parsed, path, prose, secret, secret_prose, secret_texts, text, texts,
    whole, yes_or_no,
};
pub use measure::{Unit, show_duration, size, within};
pub use written::{Written, quoted};

/// A group of keys below one prefix.
pub trait Settings: Default {
    /// Takes the keys below `prefix` out of what was given. A key that was not given, or not well, has its default;
    /// what is wrong is noted in `given`.
    fn read(prefix: &str, given: &mut Given) -> Self;

    /// Every key with its value in `self`, for documents and for showing.
    fn sections(&self, prefix: &str) -> Vec<Section>;
}

/// The keys that stand under one heading of the file.
#[derive(Clone, Debug)]
pub struct Section {
    /// The heading, as `channels.email`.
    pub name: String,
    /// What the section is about: lines of prose.
    pub about: &'static str,
    /// Its keys, in the order of their declaration.
    pub keys: Vec<Key>,
}

/// One key: what it means, what it may be, what it is.
#[derive(Clone, Debug)]
pub struct Key {
    /// The full name, as `channels.email.host`.
    pub name: String,
    /// What the key is about: lines of prose.
    pub about: &'static str,
    /// The value as TOML; `[set]` for a secret; `None` when the key is not set.
    pub value: Option<String>,
    /// A value to show where there is none, as TOML.
    pub example: Option<String>,
    /// What the value may be, so that "must be …" is a sentence.
    pub allowed: String,
    /// Whether the value is never to be shown.
    pub secret: bool,
}

impl Key {
    /// The name below its section: the last part, or the last two where a section holds dotted keys.
    pub fn name_in(&self, section: &str) -> &str {
        self.name.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')).unwrap_or(&self.name)
    }

    /// The environment variable that sets this key.
    pub fn variable(&self) -> String {
        format!("BELFRY_{}", self.name.to_ascii_uppercase().replace('.', "__"))
    }
}

/// The lines of a doc comment without the blank that follows each `///`.
pub fn lines(about: &str) -> impl Iterator<Item = &str> {
    about.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
}

/// The full name of a key below a prefix.
pub fn join(prefix: &str, key: &str) -> String {
    format!("{prefix}.{key}")
}

/// Declares a struct of settings: `field: Type = default, kind;`. A field whose key is not its name says
/// `field as "key"`. A last line `check function;` names the check over several keys of the struct.
macro_rules! settings {
    (
        $(#[doc = $about:literal])*
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])* $field:ident $(as $key:literal)? : $type:ty = $default:expr, $kind:expr;)*
        }
        $(check $check:path;)?
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default,)* }
            }
        }

        impl $crate::settings::Settings for $name {
            fn read(prefix: &str, given: &mut $crate::settings::Given) -> $name {
                let settings = $name {
                    $($field: {
                        let key = $crate::settings::join(prefix, settings!(@key $field $($key)?));
                        given.read(&key, &$kind).unwrap_or_else(|| $default)
                    },)*
                };
                $({
                    let name = |key: &str| $crate::settings::join(prefix, key);
                    let violations: Vec<$crate::settings::Violation> = $check(&settings, &name);
                    violations.into_iter().for_each(|violation| given.refuse(violation));
                })?
                settings
            }

            fn sections(&self, prefix: &str) -> Vec<$crate::settings::Section> {
                let keys = vec![$($kind.key(
                    $crate::settings::join(prefix, settings!(@key $field $($key)?)),
                    concat!($($doc, "\n"),*),
                    &self.$field,
                )),*];
                let about = concat!($($about, "\n"),*);
                vec![$crate::settings::Section { name: prefix.to_owned(), about, keys }]
            }
        }
    };
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}
pub(crate) use settings;

/// Declares a struct whose fields are settings of their own, each below the prefix with its name.
macro_rules! sections {
    (
        $(#[doc = $about:literal])*
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])* $field:ident : $type:ty;)*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, Default)]
        $vis struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
        }

        impl $crate::settings::Settings for $name {
            fn read(prefix: &str, given: &mut $crate::settings::Given) -> $name {
                $name {
                    $($field: <$type as $crate::settings::Settings>::read(
                        &$crate::settings::join(prefix, stringify!($field)),
                        given,
                    ),)*
                }
            }

            fn sections(&self, prefix: &str) -> Vec<$crate::settings::Section> {
                [$($crate::settings::Settings::sections(
                    &self.$field,
                    &$crate::settings::join(prefix, stringify!($field)),
                )),*]
                .concat()
            }
        }
    };
}
pub(crate) use sections;
