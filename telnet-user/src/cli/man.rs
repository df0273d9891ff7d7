//! `telnet-monitor man`: manual pages, section 1, from the definition of the command line.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::{Cli, exit};
use crate::config::DEFAULT_FILE;

/// Which page.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The command, such as run; none for the page of telnet-monitor itself.
    command: Option<String>,
    /// Write the pages of all commands into this folder.
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// Prints the page, or writes all of them.
pub(super) fn main(args: &Args) -> u8 {
    let root = built();
    if let Some(dir) = &args.dir {
        return match write_all(&root, dir) {
            Ok(()) => exit::OK,
            Err(error) => {
                super::complain(&format!("{}: {error}", dir.display()));
                exit::INVALID
            }
        };
    }
    let page = match &args.command {
        None => Some(&root),
        Some(name) => root.find_subcommand(name),
    };
    let Some(command) = page else {
        let name = args.command.as_deref().unwrap_or_default();
        super::complain(&format!("no command {}", super::printable(name)));
        return exit::USAGE;
    };
    let written = render(command).and_then(|text| io::stdout().write_all(&text));
    super::print(written.map(|()| exit::OK), exit::INVALID)
}

/// With the full name of every command filled in, and every option explained: a page is the long
/// form of the help.
fn built() -> Command {
    let mut command = explained(Cli::command());
    command.build();
    command
}

fn explained(command: Command) -> Command {
    command
        .mut_args(|argument| argument.hide_short_help(false))
        .mut_subcommands(explained)
}

fn write_all(root: &Command, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let commands = root
        .get_subcommands()
        .filter(|one| one.get_name() != "help");
    for command in commands.chain([root]) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        fs::write(dir.join(format!("{name}.1")), render(command)?)?;
    }
    Ok(())
}

/// The page, with what the definition of a command does not hold.
fn render(command: &Command) -> io::Result<Vec<u8>> {
    let source = concat!("telnet-monitor ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone())
        .manual("telnet-monitor")
        .source(source);
    let mut text = Vec::new();
    man.render(&mut text)?;
    text.extend_from_slice(more(command.get_name()).as_bytes());
    Ok(text)
}

fn more(command: &str) -> String {
    let files = [
        (DEFAULT_FILE, "Configuration; each key is explained there."),
        (
            "/run/telnet-monitor",
            "What was reported and alerted already, and who logged in to open sessions.",
        ),
        (
            "/var/lib/telnet-monitor/spool",
            "What waits for journald, syslog and Elasticsearch.",
        ),
    ];
    let codes = exit::meanings(command).iter();
    let codes = codes.map(|(code, meaning)| format!(".TP\n{code}\n{meaning}\n"));
    let files = files.map(|(path, what)| format!(".TP\n.I {path}\n{what}\n"));
    let (codes, files) = (codes.collect::<String>(), files.concat());
    format!(".SH \"EXIT STATUS\"\n{codes}.SH FILES\n{files}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_of_its_own_name() {
        let folder = tempfile::tempdir().expect("folder");
        write_all(&built(), folder.path()).expect("written");
        let root = Cli::command();
        let shown = root.get_subcommands().filter(|one| !one.is_hide_set());
        for name in shown.map(Command::get_name) {
            let path = folder.path().join(format!("telnet-monitor-{name}.1"));
            let text = fs::read_to_string(path).expect(name);
            let heading = format!(".TH telnet-monitor-{name} 1 ");
            assert!(text.contains(&heading), "{heading} not in {text}");
            let codes = exit::meanings(name);
            assert!(codes.iter().any(|(code, _)| *code == exit::OK), "{name}");
            let (_, status) = text.split_once("EXIT STATUS").expect(name);
            for (code, meaning) in codes {
                assert!(status.contains(&format!("{code}\n{meaning}\n")), "{text}");
            }
        }
        let text = fs::read_to_string(folder.path().join("telnet-monitor.1")).expect("main page");
        assert!(text.contains("telnet\\-monitor\\-run(1)"), "{text}");
    }
}
