//! Instructions of the pure pipeline, counted by callgrind: the same on every run and on a machine
//! under load, unlike time.

use std::{fs, path::Path, process::Stdio};

use anyhow::{Context as _, bail};

use crate::{process, toolchain::kit::Kit, workspace::Workspace};

/// Most instructions of one session, opened, accepted and closed: a tenth above what it took when
/// this was written.
const BOUNDS: [(&str, u64); 4] = [
    ("default", 197_000),
    ("alerts", 260_000),
    ("rules-1", 151_000),
    ("rules-1000", 151_000),
];
/// A thousand rules may cost this many times one.
const MOST_FOR_A_THOUSAND: u64 = 3;
/// Two runs, so that what is done once cancels out.
const SESSIONS: [u64; 2] = [500, 1_500];

/// Counts with the benchmark `program`, and fails when a session takes more than its bound.
pub(crate) fn check(workspace: &Workspace, program: &Path) -> anyhow::Result<()> {
    let valgrind = Kit::Valgrind.ensure(workspace)?;
    let mut excess = Vec::new();
    let mut counted = Vec::new();
    println!("instructions of one session:");
    for (which, most) in BOUNDS {
        let [few, many] =
            SESSIONS.map(|sessions| run(workspace, &valgrind, program, which, sessions));
        let each = (many? - few?) / (SESSIONS[1] - SESSIONS[0]);
        println!("  {which:<12} {each:>9} of at most {most}");
        if each > most {
            excess.push(which);
        }
        counted.push((which, each));
    }
    let of = |wanted| counted.iter().find(|(which, _)| *which == wanted);
    if let (Some((_, one)), Some((_, thousand))) = (of("rules-1"), of("rules-1000"))
        && *thousand > one * MOST_FOR_A_THOUSAND
    {
        bail!("a thousand rules cost more than {MOST_FOR_A_THOUSAND} times one");
    }
    if !excess.is_empty() {
        bail!("more instructions than before: {}", excess.join(", "));
    }
    Ok(())
}

fn run(
    workspace: &Workspace,
    valgrind: &Path,
    program: &Path,
    which: &str,
    sessions: u64,
) -> anyhow::Result<u64> {
    let out = workspace.target().join("bench");
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let out = out.join("callgrind.out");
    let mut command = workspace.command("env");
    command
        .arg(format!(
            "VALGRIND_LIB={}",
            valgrind.join("usr/libexec/valgrind").display()
        ))
        .arg(valgrind.join("usr/bin/valgrind.bin"))
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["--count", which, &sessions.to_string()])
        .stdout(Stdio::null());
    process::run(&mut command)?;
    let text = fs::read_to_string(&out).with_context(|| out.display().to_string())?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.context("callgrind wrote no totals")?;
    total.trim().parse().context("totals of callgrind")
}
