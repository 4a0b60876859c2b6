//! What is wrong with an input: each field by name, all of them at once.

/// One field that cannot be taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's path as the sender spelled it: `quiet_hours.start`, `channels[1]`.
    pub field: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// The list of everything that is wrong with an input. Never empty when it is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct Invalid {
    /// Each wrong field, in the order in which they were looked at.
    pub errors: Vec<FieldError>,
}

impl Invalid {
    /// A list of one.
    pub fn one(field: impl Into<String>, detail: impl Into<String>) -> Invalid {
        Invalid { errors: vec![FieldError { field: field.into(), detail: detail.into() }] }
    }

    /// Adds a field.
    pub fn push(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.errors.push(FieldError { field: field.into(), detail: detail.into() });
    }

    /// `value` where nothing was wrong, and the list where something was.
    pub fn or<T>(self, value: T) -> Result<T, Invalid> {
        if self.errors.is_empty() { Ok(value) } else { Err(self) }
    }

    /// All of it in one line.
    pub fn summary(&self) -> String {
        let each: Vec<String> =
            self.errors.iter().map(|error| format!("{}: {}", error.field, error.detail)).collect();
        each.join("; ")
    }
}
