//! `cargo xtask test`: one layer, or all of them.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::builder::PossibleValuesParser;

use super::build::{self, Agent};
use crate::{
    probe, process,
    toolchain::{self, Need, Privilege},
    tracefs,
    vm::{self, Guest, Matrix, Tests},
    workspace::Workspace,
};

/// What `test` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this layer
    #[command(subcommand)]
    layer: Option<Layer>,
}

/// What a test needs around it.
#[derive(Debug, clap::Subcommand)]
enum Layer {
    /// Tests that need nothing but cargo
    Unit,
    /// Tests that need root and this machine's kernel
    Live,
    /// Live tests on other kernels, in virtual machines
    Vm(VmOptions),
    /// The agent as released in mixed traffic with faults, longer than with every change
    Soak(SoakOptions),
}

/// How long the soak takes.
#[derive(Debug, clap::Args)]
struct SoakOptions {
    /// Minutes it takes
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Also set the clock of this machine forth and back by a quarter of an hour
    #[arg(long)]
    set_clock: bool,
}

/// Which virtual machines, and what to run in them. Without any option: what the oldest, the most
/// installed and the newest kernel give the agent, who it finds on a socket there, what it tells of a
/// login, and what it refuses.
#[derive(Debug, Default, clap::Args)]
struct VmOptions {
    /// Every kernel series: all tests, and with each way to learn who accepted those that it can
    /// change. Takes hours
    #[arg(long)]
    all: bool,
    /// Only this kernel series, such as 6.1, 6.1-systemd, newest or newest-lockdown; may be repeated
    #[arg(long = "kernel", value_name = "SERIES")]
    kernels: Vec<String>,
    /// Only this: what the kernel gives the agent, the live tests with one way to learn who
    /// accepted, what the agent must refuse, or the tests of a whole system with systemd; may be
    /// repeated
    #[arg(long = "suite", value_parser = suite_parser())]
    suites: Vec<String>,
    /// Only tests whose name contains this
    #[arg(default_value = "")]
    filter: String,
}

fn suite_parser() -> PossibleValuesParser {
    PossibleValuesParser::new(vm::suites())
}

impl VmOptions {
    fn matrix(&self) -> Matrix {
        let Self {
            all,
            kernels,
            suites,
            filter,
        } = self;
        if !all && kernels.is_empty() && suites.is_empty() && filter.is_empty() {
            return Matrix::share();
        }
        let mut labels: Vec<_> = kernels.iter().map(String::as_str).collect();
        if labels.is_empty() {
            labels.extend(vm::ALL);
        }
        let guests = labels.iter().map(|label| Guest::labelled(label));
        let guests: Vec<_> = if suites.is_empty() {
            guests.collect()
        } else {
            guests
                .filter_map(|guest| guest.limited_to(suites))
                .collect()
        };
        let tests = match filter.as_str() {
            "" => Tests::All,
            text => Tests::Matching(text.to_owned()),
        };
        Matrix { guests, tests }
    }
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    let Options { layer } = options;
    match layer {
        Some(Layer::Unit) => unit(workspace, probe::last_built(workspace).as_deref()),
        Some(Layer::Live) => live(workspace, &agent(workspace)?),
        Some(Layer::Vm(options)) => options.matrix().run(workspace),
        Some(Layer::Soak(options)) => soak(workspace, options),
        None => {
            let agent = agent(workspace)?;
            unit(workspace, Some(&agent.probe))?;
            live(workspace, &agent)?;
            Matrix::share().run(workspace)
        }
    }
}

/// The agent that the live tests drive, and what they need beside it.
pub(crate) fn agent(workspace: &Workspace) -> anyhow::Result<Agent> {
    let needs = [Need::Probe, Need::LiveTests];
    let ready = toolchain::ensure(workspace, &needs, None)?;
    build::agent(workspace, false, ready.toolchain)
}

/// Unit, property and documentation tests. They run without the probe; `probe` only keeps cargo
/// from compiling the agent anew when the two alternate.
pub(crate) fn unit(workspace: &Workspace, probe: Option<&Path>) -> anyhow::Result<()> {
    // Examples in the documentation first: a crate without any would have the last word with
    // "0 passed".
    for selection in [["--doc"].as_slice(), &["--lib", "--bins", "--tests"]] {
        let mut command = workspace.cargo();
        command.arg("test").args(selection);
        if let Some(probe) = probe {
            probe::embed(&mut command, probe);
        }
        process::run(&mut command)?;
    }
    Ok(())
}

/// Tests on this machine's kernel: the owners of sockets with each hook forced that every such
/// machine has, then everything with the hook the agent chooses.
pub(crate) fn live(workspace: &Workspace, agent: &Agent) -> anyhow::Result<()> {
    tracefs::ensure(workspace);
    for hook in ["syscall-exit", "userspace"] {
        println!("owners of sockets with the accept hook {hook}");
        let forced = [("TELNET_MONITOR_ACCEPTOR", hook.into())];
        live_tests(workspace, agent, forced, &["owners::"])?;
    }
    live_tests(workspace, agent, [], &[])
}

fn soak(workspace: &Workspace, options: &SoakOptions) -> anyhow::Result<()> {
    let needs = [Need::Probe, Need::LiveTests];
    let ready = toolchain::ensure(workspace, &needs, None)?;
    let built = build::agent(workspace, true, ready.toolchain)?;
    let agent = Agent {
        binary: copied(&built.binary, &workspace.target().join("soak"))?,
        ..built
    };
    tracefs::ensure(workspace);
    let minutes = options.minutes.to_string();
    let clock = options.set_clock.then(|| ("TELNET_TEST_CLOCK", "1".into()));
    let variables = [("TELNET_TEST_SOAK_MINUTES", minutes.into())];
    let variables = variables.into_iter().chain(clock);
    live_tests(workspace, &agent, variables, &["soak::"])
}

/// A copy of the agent, which an hour of restarts begins again whatever is built meanwhile.
fn copied(binary: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let name = binary.file_name().context("a binary has a name")?;
    let copy = folder.join(name);
    fs::create_dir_all(folder)
        .and_then(|()| fs::copy(binary, &copy))
        .with_context(|| format!("cannot copy {} to {}", binary.display(), copy.display()))?;
    Ok(copy)
}

/// Compiled as this user, run as root, one at a time because they share that kernel. The same
/// variables let one of them be run by hand.
fn live_tests(
    workspace: &Workspace,
    agent: &Agent,
    variables: impl IntoIterator<Item = (&'static str, OsString)>,
    filter: &[&str],
) -> anyhow::Result<()> {
    let mut environment = live_environment(workspace, agent);
    environment.extend(variables);
    let mut command = workspace.cargo();
    command.args(["test", "--package", "telnet-tests", "--lib", "--tests"]);
    command.arg("--").arg("--test-threads=1").args(filter);
    match Privilege::here() {
        Privilege::Root => {
            command.envs(environment);
        }
        Privilege::Sudo => {
            let host = toolchain::host_rustc(workspace)?.host;
            command.env(runner_variable(&host), sudo_runner(&environment)?);
        }
        Privilege::Missing if live_tests_are_optional() => {
            command.envs(environment);
        }
        Privilege::Missing => bail!(
            "live tests load the probe and need root, and there is no sudo: run them as root, \
             or set {LIVE}=optional to leave them out"
        ),
    }
    process::run(&mut command)
}

/// `optional` lets the live tests be left out where they cannot run.
const LIVE: &str = "TELNET_LIVE";

fn live_tests_are_optional() -> bool {
    env::var_os(LIVE).is_some_and(|value| value == "optional")
}

fn live_environment(workspace: &Workspace, agent: &Agent) -> Vec<(&'static str, OsString)> {
    let mut environment = vec![
        ("TELNET_MONITOR_BIN", agent.binary.clone().into_os_string()),
        ("TELNET_TEST_ROOT", workspace.test_root().into_os_string()),
        // Errors of tests say what they were about; a backtrace below each hides that.
        ("RUST_LIB_BACKTRACE", "0".into()),
    ];
    for name in [LIVE, "RUST_BACKTRACE", "RUST_LIB_BACKTRACE"] {
        environment.extend(env::var_os(name).map(|value| (name, value)));
    }
    environment
}

/// What cargo reads the wrapper of test programs for `target` from.
fn runner_variable(target: &str) -> String {
    let target = target.to_uppercase().replace('-', "_");
    format!("CARGO_TARGET_{target}_RUNNER")
}

/// `sudo` with the variables on its command line, because it drops those it was started with.
fn sudo_runner(environment: &[(&'static str, OsString)]) -> anyhow::Result<String> {
    let mut words = vec!["sudo".to_owned(), "env".to_owned()];
    for (name, value) in environment {
        let value = value
            .to_str()
            .with_context(|| format!("{} is not UTF-8", PathBuf::from(value).display()))?;
        if value.contains(char::is_whitespace) {
            bail!("{value:?} contains white space, which cargo cannot pass on: run this as root");
        }
        words.push(format!("{name}={value}"));
    }
    Ok(words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kernels_are_tried_unless_one_is_named_or_nothing_is_said() {
        let count = |options: VmOptions| options.matrix().guests.len();
        let filter = "owners::".to_owned();
        let matching = VmOptions {
            filter,
            ..VmOptions::default()
        };
        let one = VmOptions {
            kernels: vec!["6.12".to_owned()],
            ..VmOptions::default()
        };
        assert!(count(VmOptions::default()) < vm::ALL.len());
        assert_eq!(count(matching), vm::ALL.len());
        assert_eq!(count(one), 1);
    }

    #[test]
    fn runner_variable_is_cargos() {
        assert_eq!(
            runner_variable("x86_64-unknown-linux-gnu"),
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER"
        );
    }

    #[test]
    fn sudo_gets_the_variables_as_words() {
        let environment = [("A", OsString::from("/a")), ("B", OsString::from("b:c"))];
        assert_eq!(sudo_runner(&environment).unwrap(), "sudo env A=/a B=b:c");
    }

    #[test]
    fn white_space_is_refused_rather_than_split() {
        let environment = [("A", OsString::from("/my folder"))];
        sudo_runner(&environment).unwrap_err();
    }
}
