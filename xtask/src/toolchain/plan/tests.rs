use super::*;
use crate::toolchain::version::Rustc;

fn rustc(release: &str, llvm: u32, has_source: bool) -> Rustc {
    Rustc {
        release: release.to_owned(),
        host: "x86_64-unknown-linux-gnu".to_owned(),
        llvm,
        has_source,
    }
}

fn linker(llvm: u32) -> Linker {
    Linker {
        version: BPF_LINKER.to_owned(),
        llvm,
    }
}

/// A machine with rustup, apt and root, and nothing else.
fn fresh() -> Facts {
    Facts {
        pinned: rustc("1.95.0", 22, false),
        rustup: true,
        debian: None,
        linker: None,
        cargo_deny: None,
        packagers: PACKAGERS.to_vec(),
        targets: vec![Target::X86_64],
        compilers: vec![Target::X86_64],
        test_tools: false,
        llvm_prefix: false,
        machine_packages: vec!["cpio".to_owned()],
        emulator_packages: vec![(Target::X86_64, "qemu-system-x86")],
        privilege: Privilege::Root,
        packages: Some(Vec::new()),
    }
}

fn complete() -> Facts {
    Facts {
        pinned: rustc("1.95.0", 22, true),
        linker: Some(linker(22)),
        cargo_deny: Some(CARGO_DENY.to_owned()),
        test_tools: true,
        machine_packages: Vec::new(),
        emulator_packages: Vec::new(),
        ..fresh()
    }
}

#[test]
fn packagers_are_built_only_for_packages() {
    let facts = Facts {
        packagers: vec![PACKAGERS[0]],
        targets: Vec::new(),
        ..complete()
    };
    assert_eq!(steps(&facts, &Need::ALL, None), []);
    let (name, version) = PACKAGERS[1];
    let expected = [Step::Target(Target::X86_64), Step::Packager(name, version)];
    assert_eq!(steps(&facts, &[Need::Packages], None), expected);
}

#[test]
fn another_processor_needs_its_library_and_a_compiler() {
    let needs = [Need::Target(Target::Aarch64)];
    let expected = match Target::Aarch64.compiler_packages() {
        [] => vec![Step::Target(Target::Aarch64)],
        names => vec![packages(names), Step::Target(Target::Aarch64)],
    };
    assert_eq!(steps(&complete(), &needs, None), expected);
}

#[test]
fn an_emulator_is_installed_for_guests_with_its_processor() {
    let facts = Facts {
        emulator_packages: vec![(Target::Aarch64, "qemu-system-arm")],
        ..complete()
    };
    assert_eq!(steps(&facts, &Need::ALL, None), []);
    assert_eq!(
        steps(&facts, &[Need::Emulator(Target::Aarch64)], None),
        [packages(&["qemu-system-arm"])]
    );
}

fn steps(facts: &Facts, needs: &[Need], choice: Option<Toolchain>) -> Vec<Step> {
    Plan::compute(facts, needs, choice).unwrap().steps
}

fn refusal(facts: &Facts, choice: Option<Toolchain>) -> String {
    let error = Plan::compute(facts, &Need::ALL, choice).unwrap_err();
    format!("{error:#}")
}

fn packages(names: &[&str]) -> Step {
    Step::Packages(names.iter().map(|&name| name.to_owned()).collect())
}

const LLVM_22: [&str; 5] = [
    "llvm-22-dev",
    "libpolly-22-dev",
    "libxml2-dev",
    "libzstd-dev",
    "zlib1g-dev",
];

#[test]
fn nothing_is_to_do_on_a_complete_machine() {
    assert_eq!(steps(&complete(), &Need::ALL, None), []);
}

#[test]
fn fresh_machine_gets_everything_with_the_source_first() {
    let mut names = LLVM_22.to_vec();
    names.extend(["cpio", "qemu-system-x86"]);
    assert_eq!(
        steps(&fresh(), &Need::ALL, None),
        [
            Step::RustSrc,
            packages(&names),
            Step::BpfLinker(22),
            Step::CargoDeny,
            Step::TestTools,
        ]
    );
}

#[test]
fn a_build_needs_no_test_tools() {
    assert_eq!(
        steps(&fresh(), &[Need::Probe], None),
        [Step::RustSrc, packages(&LLVM_22), Step::BpfLinker(22)]
    );
}

#[test]
fn installed_packages_are_left_alone() {
    let facts = Facts {
        packages: Some(LLVM_22.map(str::to_owned).to_vec()),
        ..fresh()
    };
    assert_eq!(
        steps(&facts, &[Need::Probe], None),
        [Step::RustSrc, Step::BpfLinker(22)]
    );
}

#[test]
fn own_llvm_needs_no_packages() {
    let facts = Facts {
        llvm_prefix: true,
        ..fresh()
    };
    assert_eq!(
        steps(&facts, &[Need::Probe], None),
        [Step::RustSrc, Step::BpfLinker(22)]
    );
}

#[test]
fn linker_is_rebuilt_when_its_llvm_is_older_than_the_compilers() {
    for (llvm, expected) in [(21, 1), (22, 0), (23, 0)] {
        let facts = Facts {
            linker: Some(linker(llvm)),
            packages: Some(LLVM_22.map(str::to_owned).to_vec()),
            ..complete()
        };
        assert_eq!(
            steps(&facts, &[Need::Probe], None).len(),
            expected,
            "llvm {llvm}"
        );
    }
}

#[test]
fn linker_of_another_version_is_rebuilt() {
    let facts = Facts {
        linker: Some(Linker {
            version: "0.12.0".to_owned(),
            llvm: 22,
        }),
        llvm_prefix: true,
        ..complete()
    };
    assert_eq!(steps(&facts, &[Need::Probe], None), [Step::BpfLinker(22)]);
}

#[test]
fn unknown_llvm_is_refused_with_what_to_do() {
    let facts = Facts {
        pinned: rustc("1.99.0", 24, true),
        ..complete()
    };
    let message = refusal(&facts, None);
    assert!(
        message.contains("LLVM 24") && message.contains("--toolchain"),
        "{message}"
    );
}

#[test]
fn debian_is_used_when_rustup_is_not_there() {
    let facts = Facts {
        rustup: false,
        ..fresh()
    };
    let plan = Plan::compute(&facts, &[Need::Probe], None).unwrap();
    assert_eq!(plan.toolchain, Toolchain::Debian);
    let mut names = DEBIAN_RUST.to_vec();
    names.extend(LLVM_22);
    assert_eq!(plan.steps, [packages(&names), Step::BpfLinker(22)]);
}

#[test]
fn debian_by_choice_replaces_an_old_compiler() {
    let facts = Facts {
        debian: Some(rustc("1.63.0", 14, false)),
        packages: Some(vec!["rustc".to_owned()]),
        ..complete()
    };
    assert_eq!(
        steps(&facts, &[Need::Probe], Some(Toolchain::Debian)),
        [packages(&DEBIAN_RUST)]
    );
}

#[test]
fn debian_that_stays_too_old_is_refused() {
    let facts = Facts {
        debian: Some(rustc("1.85.0", 19, true)),
        packages: Some(DEBIAN_RUST.map(str::to_owned).to_vec()),
        ..complete()
    };
    let message = refusal(&facts, Some(Toolchain::Debian));
    assert!(message.contains("1.85.0"), "{message}");
}

#[test]
fn debian_with_a_newer_llvm_gets_a_newer_linker() {
    let facts = Facts {
        debian: Some(rustc("1.97.0", 23, true)),
        llvm_prefix: true,
        ..complete()
    };
    assert_eq!(
        steps(&facts, &[Need::Probe], Some(Toolchain::Debian)),
        [Step::BpfLinker(23)]
    );
}

#[test]
fn rustup_by_choice_is_refused_without_rustup() {
    let facts = Facts {
        rustup: false,
        ..fresh()
    };
    let message = refusal(&facts, Some(Toolchain::Rustup));
    assert!(message.contains("--toolchain debian"), "{message}");
}

#[test]
fn missing_privilege_names_the_command_to_run() {
    let facts = Facts {
        privilege: Privilege::Missing,
        ..fresh()
    };
    let message = refusal(&facts, None);
    assert!(
        message.contains("apt-get install --no-install-recommends llvm-22-dev"),
        "{message}"
    );
}

#[test]
fn unpacking_test_tools_needs_no_privilege() {
    let facts = Facts {
        privilege: Privilege::Missing,
        test_tools: false,
        ..complete()
    };
    assert_eq!(steps(&facts, &Need::ALL, None), [Step::TestTools]);
}

#[test]
fn missing_apt_names_the_packages() {
    let facts = Facts {
        packages: None,
        ..fresh()
    };
    let message = refusal(&facts, None);
    assert!(
        message.contains("llvm-22-dev") && message.contains("no apt"),
        "{message}"
    );
}
