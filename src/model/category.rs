//! A category: what notifications are about, and what holds for it until a person says otherwise.

use std::collections::BTreeMap;

use crate::clock::Millis;
use crate::model::channel::Channel;
use crate::model::digest::{Digest, Throttle};
use crate::model::quiet_hours::QuietHours;

/// What the operator says of a category. Categories are an open set: most have no such record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Category {
    /// Its name, in snake_case.
    pub name: String,
    /// What it is, for those who choose.
    pub description: Option<String>,
    /// The channels that it is on or off on, for whoever has said nothing.
    pub channels: BTreeMap<Channel, bool>,
    /// Whether nobody can switch it off.
    pub required: bool,
    /// When nothing of it leaves for anybody, in a zone of its own.
    pub quiet_hours: Option<QuietHours>,
    /// How it gathers, for whoever has said nothing.
    pub digest: Option<Digest>,
    /// How much of it one person gets.
    pub throttle: Option<Throttle>,
    /// How many days its notifications are kept.
    pub retention_days: Option<u32>,
    /// When this was first said.
    pub created_at: Millis,
    /// When it last changed.
    pub updated_at: Millis,
}

/// The most categories that there are records of.
pub const CATEGORY_RECORDS_MAX: usize = 500;
/// The longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 500;
/// The longest that a category's notifications are kept: ten years.
pub const RETENTION_DAYS_MAX: u32 = 3_650;
