//! A list of the server, page by page.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::failure::Failure;
use crate::client::Client;

/// How many items are asked for at once: as many as the server gives.
const PAGE_LEN: &str = "200";

/// Some items of a list as the server wrote them, and where the rest begins.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Page {
    /// The items.
    pub data: Vec<Box<RawValue>>,
    /// Where to go on; none at the end.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

impl Page {
    /// As one line of JSON for the terminal.
    ///
    /// # Errors
    /// Never for what a server gave.
    pub fn to_json(&self) -> Result<String, Failure> {
        let text = serde_json::to_string(self)
            .map_err(|error| Failure::Failed(format!("failed to write JSON: {error}")))?;
        Ok(super::screen::json_line(&text))
    }

    /// The items as what they should be; what is something else is left blank.
    pub fn read<T: for<'a> Deserialize<'a> + Default>(&self) -> Vec<T> {
        self.data.iter().map(|item| serde_json::from_str(item.get()).unwrap_or_default()).collect()
    }
}

/// A list that is being read.
#[derive(Debug)]
pub struct Pages<'a> {
    client: &'a Client,
    path: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    cursor: Option<String>,
    over: bool,
}

impl<'a> Pages<'a> {
    /// The list at `path` as `query` asks for it, from its beginning.
    pub const fn asking(
        client: &'a Client,
        path: &'a [&'a str],
        query: &'a [(&'a str, &'a str)],
    ) -> Pages<'a> {
        Pages { client, path, query, cursor: None, over: false }
    }

    /// The next page; none after the last.
    ///
    /// # Errors
    /// When the server does not give it.
    pub async fn next(&mut self) -> Result<Option<Page>, Failure> {
        if self.over {
            return Ok(None);
        }
        let mut query = self.query.to_vec();
        query.push(("limit", PAGE_LEN));
        query.extend(self.cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: Page = self.client.get(self.path, &query).await?.read(self.client)?;
        // A list that goes on with nothing would never end.
        self.over = page.next_cursor.is_none() || page.data.is_empty();
        self.cursor.clone_from(&page.next_cursor);
        Ok(Some(page))
    }
}

/// Every item of a list but no more than about `most`; the cursor is kept where that cut it off.
///
/// # Errors
/// When the server does not give it.
pub async fn up_to(client: &Client, path: &[&str], most: usize) -> Result<Page, Failure> {
    let (mut pages, mut all) = (Pages::asking(client, path, &[]), Page::default());
    while let Some(page) = pages.next().await? {
        all.data.extend(page.data);
        all.next_cursor = page.next_cursor;
        if all.data.len() >= most {
            break;
        }
    }
    Ok(all)
}
