//! `belfry man`: the manual, one page for the program and one for each subcommand.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use serde_json::json;

use super::Cli;
use super::failure::Failure;
use super::options::Options;
use super::screen::{self, clean};

const EXAMPLES: &str = "\
Examples:
  belfry man | man -l -
  belfry man send | man -l -
  belfry man user erase | man -l -
  belfry man --dir /usr/local/share/man/man1

With --dir it writes a page for the program and one for every subcommand, as
belfry-user-erase.1. The Debian package has installed them already.";

/// Which pages, and where to.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ManArgs {
    /// The subcommand whose page to print [default: the program's own]
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Write every page into this directory, which is made where it is missing
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub dir: Option<PathBuf>,
}

/// A page: what its file is called, and what is in it.
struct Page {
    name: String,
    text: String,
}

/// Prints a page, or writes all of them.
///
/// # Errors
/// When there is no such subcommand, or a page cannot be written.
pub fn run(args: &ManArgs, options: &Options) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("failed to write the manual: {error}"));
    let all = pages().map_err(failed)?;
    if let Some(dir) = &args.dir {
        let files = write(&all, dir).map_err(failed)?;
        if options.json {
            return screen::say(&json!({ "files": files }).to_string());
        }
        return screen::say(&format!("{} pages in {}", files.len(), clean(&dir.display().to_string())));
    }
    let name = [vec!["belfry".to_owned()], args.command.clone()].concat().join("-");
    let page = all.into_iter().find(|page| page.name == name);
    let page = page.ok_or_else(|| Failure::NotFound(format!("there is no page {}", clean(&name))))?;
    if options.json {
        return screen::say(&json!({ "name": page.name, "page": page.text }).to_string());
    }
    screen::say(&page.text)
}

fn write(pages: &[Page], dir: &Path) -> io::Result<Vec<String>> {
    std::fs::create_dir_all(dir)?;
    let write = |page: &Page| {
        let path = dir.join(format!("{}.1", page.name));
        std::fs::write(&path, &page.text)?;
        Ok(path.display().to_string())
    };
    pages.iter().map(write).collect()
}

/// Every page, the program's own first.
fn pages() -> io::Result<Vec<Page>> {
    fn walk(command: &Command, name: &str, pages: &mut Vec<Page>) -> io::Result<()> {
        pages.push(page(command, name)?);
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            walk(inner, &format!("{name}-{}", inner.get_name()), pages)?;
        }
        Ok(())
    }
    let mut whole = Cli::command();
    whole.build();
    let mut pages = Vec::new();
    walk(&whole, "belfry", &mut pages)?;
    Ok(pages)
}

fn page(command: &Command, name: &str) -> io::Result<Page> {
    let man = Man::new(command.clone().version(env!("CARGO_PKG_VERSION")))
        .source(concat!("Belfry ", env!("CARGO_PKG_VERSION")))
        .manual("Belfry");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    if let Some(after) = command.get_after_help() {
        // Its lines stand as they are: what is between them is laid out by hand.
        let mut notes = Roff::new();
        notes.control("SH", ["NOTES"]).control("nf", []);
        for line in after.to_string().lines() {
            notes.text([roman(line.to_owned())]);
        }
        notes.control("fi", []).to_writer(&mut text)?;
    }
    if name != "belfry" {
        let mut rest = Roff::new();
        rest.control("SH", ["SEE ALSO"]).control("BR", ["belfry", "(1)"]).to_writer(&mut text)?;
    }
    Ok(Page { name: name.to_owned(), text: String::from_utf8_lossy(&text).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_the_program_and_for_each_subcommand_with_its_examples() {
        let pages = pages().unwrap();
        let page = |name: &str| &pages.iter().find(|page| page.name == name).expect(name).text;
        assert_eq!(pages[0].name, "belfry");
        assert!(page("belfry-user-erase").contains("belfry user erase ada"));
        assert!(page("belfry-send").contains(".SH NAME"));
        assert!(page("belfry").contains("belfry\\-send(1)"));
        assert!(pages.iter().all(|page| !page.name.contains("help")));
    }
}
