//! Declares settings.
