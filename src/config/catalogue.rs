//! Every key there is, and the nearest one to a name that is none.

use super::Config;

/// A name longer than this is not compared with others: it is no slip of the finger.
const NAME_LEN_MAX: usize = 128;

/// The names of all keys and of their environment variables.
pub(super) struct Catalogue {
    keys: Vec<String>,
    variables: Vec<String>,
}

impl Catalogue {
    /// The names of the keys of a configuration; the values do not matter.
    pub fn new(config: &Config) -> Catalogue {
        let (keys, variables) = config.keys().map(|key| (key.name.clone(), key.variable())).unzip();
        Catalogue { keys, variables }
    }

    /// Whether there is a key of that name.
    pub fn has_key(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key == name)
    }

    /// Whether a variable is meant for the configuration: it has two underscores between levels, or begins like a
    /// section and probably lacks one of them. Others that begin with our name are somebody else's, such as those that
    /// a container platform sets for a service called belfry.
    pub fn is_meant(&self, variable: &str) -> bool {
        let begins = |section: &str| {
            let section = section.to_ascii_uppercase();
            variable
                .strip_prefix("BELFRY_")
                .and_then(|rest| rest.strip_prefix(&section))
                .is_some_and(|rest| rest.starts_with('_'))
        };
        variable.contains("__") || self.keys.iter().filter_map(|key| key.split('.').next()).any(begins)
    }

    /// Whether there are keys below that name.
    pub fn has_section(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
    }

    /// The key that an environment variable sets.
    pub fn key_of(&self, variable: &str) -> Option<&str> {
        self.variables.iter().position(|known| known == variable).map(|index| self.keys[index].as_str())
    }

    /// A hint for someone who wrote `name` for a key or a section.
    pub fn hint_for_key(&self, name: &str) -> String {
        let mut names: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        let ends = self.keys.iter().flat_map(|key| key.match_indices('.').map(|(end, _)| &key[..end]));
        names.extend(ends);
        hint(nearest(name, &names))
    }

    /// A hint for someone who wrote `name` for an environment variable.
    pub fn hint_for_variable(&self, name: &str) -> String {
        let (stem, end) = name.strip_suffix("_FILE").map_or((name, ""), |stem| (stem, "_FILE"));
        let names: Vec<&str> = self.variables.iter().map(String::as_str).collect();
        hint(nearest(stem, &names).map(|variable| format!("{variable}{end}")))
    }
}

fn hint(name: Option<impl std::fmt::Display>) -> String {
    name.map_or("`belfry config doc` lists every key".to_owned(), |name| format!("did you mean {name}?"))
}

/// The name with the fewest letters to change, if that is about one in five.
fn nearest<'a>(given: &str, names: &[&'a str]) -> Option<&'a str> {
    if given.len() > NAME_LEN_MAX {
        return None;
    }
    let given = given.to_lowercase();
    let distances = names.iter().map(|name| (distance(&given, &name.to_lowercase()), *name));
    let (fewest, name) = distances.min_by_key(|(changes, _)| *changes)?;
    (fewest <= (name.len() / 5).clamp(2, 4)).then_some(name)
}

/// How many letters must be put in, left out or replaced to make one word of the other (Levenshtein's distance).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_changed_letters() {
        for (a, b, changes) in [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("listen", "lisen", 1)]
        {
            assert_eq!(distance(a, b), changes, "{a} {b}");
        }
    }

    #[test]
    fn a_word_that_is_near_nothing_has_no_hint() {
        assert_eq!(nearest("banana", &["server.listen", "log.level"]), None);
        assert_eq!(nearest(&"log.level".repeat(100), &["log.level"]), None);
    }

    #[test]
    fn no_two_keys_share_a_variable_or_the_twin_of_one() {
        let catalogue = Catalogue::new(&Config::default());
        let mut names: Vec<String> = catalogue.variables.clone();
        names.extend(catalogue.variables.iter().map(|variable| format!("{variable}_FILE")));
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
