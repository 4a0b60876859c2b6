//! Which variables a template asks for: those without which it says nothing sensible, and those that it can do without.
//!
//! A variable can be done without where the template itself asks whether it is there: by `{{#if}}`, `{{#unless}}`,
//! `{{default}}`, or a loop with an `{{else}}`. Inside `{{#each}}` names belong to the items, which only a rendering
//! knows.

use std::collections::BTreeSet;

/// What a template asks for. Paths are spelled with dots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Every path that is read, in the order in which it is first read.
    read: Vec<String>,
    /// Paths that the template can do without.
    guarded: BTreeSet<String>,
}

impl Needs {
    /// Paths without which it does not render, in the order in which they are first read.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        self.read.iter().map(String::as_str).filter(|path| !self.is_guarded(path))
    }

    /// Variables that may be absent.
    pub fn optional(&self) -> impl Iterator<Item = &str> {
        self.guarded.iter().map(String::as_str).filter(|path| !path.contains('.'))
    }

    /// Adds what another template asks for.
    pub fn add(&mut self, other: Needs) {
        for path in other.read {
            self.note(path);
        }
        self.guarded.extend(other.guarded);
    }

    fn is_guarded(&self, path: &str) -> bool {
        let mut at = Some(path.len());
        while let Some(end) = at {
            if self.guarded.contains(&path[..end]) {
                return true;
            }
            at = path[..end].rfind('.');
        }
        false
    }

    fn note(&mut self, path: String) {
        if !self.read.contains(&path) {
            self.read.push(path);
        }
    }
}

/// Where in a template a name stands: inside which loops and `{{#with}}` blocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    frames: Vec<Frame>,
}

#[derive(Clone, Debug)]
struct Frame {
    /// What names are relative to; `None` where only a rendering knows.
    base: Option<Vec<String>>,
    /// Names that the block gives (`as |item|`).
    given: Vec<String>,
}

impl Scope {
    /// Inside `{{#each}}`.
    pub(super) fn in_loop(&self, given: Vec<String>) -> Scope {
        self.with_frame(Frame { base: None, given })
    }

    /// Inside `{{#with path}}`.
    pub(super) fn in_with(&self, path: &str, given: Vec<String>) -> Scope {
        self.with_frame(Frame { base: self.absolute(path), given })
    }

    fn with_frame(&self, frame: Frame) -> Scope {
        let mut inner = self.clone();
        inner.frames.push(frame);
        inner
    }

    /// Notes that `path` is read here.
    pub(super) fn read(&self, path: &str, needs: &mut Needs) {
        if let Some(steps) = self.absolute(path).filter(|steps| !steps.is_empty()) {
            needs.note(steps.join("."));
        }
    }

    /// Notes that `path` is asked for here and need not be there.
    pub(super) fn guard(&self, path: &str, needs: &mut Needs) {
        if let Some(steps) = self.absolute(path).filter(|steps| !steps.is_empty()) {
            needs.guarded.insert(steps.join("."));
        }
    }

    /// The path from the top, where that is known.
    fn absolute(&self, raw: &str) -> Option<Vec<String>> {
        let path = Path::of(raw)?;
        if path.from_root {
            return Some(path.steps);
        }
        let level = self.frames.len().saturating_sub(path.ups);
        let frames = &self.frames[..level];
        let first = path.steps.first();
        if first.is_some_and(|first| frames.iter().any(|frame| frame.given.contains(first))) {
            return None;
        }
        let mut steps = match frames.last() {
            None => Vec::new(),
            Some(frame) => frame.base.clone()?,
        };
        steps.extend(path.steps);
        Some(steps)
    }
}

/// A path as a template spells it.
struct Path {
    from_root: bool,
    ups: usize,
    steps: Vec<String>,
}

impl Path {
    /// `None` for what is no variable, such as `@index`.
    fn of(raw: &str) -> Option<Path> {
        let raw = raw.strip_prefix("./").unwrap_or(raw);
        let (from_root, raw) = match raw.strip_prefix("@root") {
            Some(rest) => (true, rest.trim_start_matches(['.', '/'])),
            None => (false, raw),
        };
        if raw.starts_with('@') {
            return None;
        }
        let (mut ups, mut rest) = (0, raw);
        while let Some(inner) = rest.strip_prefix("..") {
            ups += 1;
            rest = inner.strip_prefix(['/', '.']).unwrap_or(inner);
        }
        // Where `..` names a local of the block above, as in `@../index`, it began with `@`.
        Some(Path { from_root, ups, steps: steps(rest) })
    }
}

/// The steps of a path; one in brackets is taken as it is.
fn steps(path: &str) -> Vec<String> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (step, after) = match rest.strip_prefix('[') {
            Some(inside) => inside.split_once(']').unwrap_or((inside, "")),
            None => {
                let end = rest.find(['.', '/']).unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        if !step.is_empty() && step != "this" {
            steps.push(step.to_owned());
        }
        rest = after.trim_start_matches(['.', '/']);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(work: impl FnOnce(&mut Needs)) -> (Vec<String>, Vec<String>) {
        let mut needs = Needs::default();
        work(&mut needs);
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        (owned(needs.required().collect()), owned(needs.optional().collect()))
    }

    #[test]
    fn a_path_is_read_from_the_top_whatever_block_it_stands_in() {
        let top = Scope::default();
        let each = top.in_loop(vec!["item".to_owned()]);
        let with = top.in_with("user", Vec::new());
        let (required, _) = needs(|needs| {
            top.read("a.b/c", needs);
            top.read("this.d.[e f]", needs);
            each.read("name", needs);
            each.read("item.name", needs);
            each.read("@index", needs);
            each.read("../outer", needs);
            each.read("@root.top", needs);
            with.read("name", needs);
            with.in_with("address", Vec::new()).read("../name", needs);
            top.read("this", needs);
        });
        assert_eq!(required, ["a.b.c", "d.e f", "outer", "top", "user.name"]);
    }

    #[test]
    fn what_is_asked_for_need_not_be_there_and_neither_need_what_is_inside_it() {
        let top = Scope::default();
        let (required, optional) = needs(|needs| {
            top.read("order.id", needs);
            top.guard("order", needs);
            top.read("user.name", needs);
            top.guard("user.nick", needs);
            top.read("user.nick", needs);
        });
        assert_eq!((required, optional), (vec!["user.name".to_owned()], vec!["order".to_owned()]));
    }
}
