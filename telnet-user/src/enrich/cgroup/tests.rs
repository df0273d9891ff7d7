use proptest::prelude::*;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const POD: &str = "8dbc1577-d0e2-4706-8787-57d52c03ddf2";
const POD_SLICE: &str = "8dbc1577_d0e2_4706_8787_57d52c03ddf2";

/// Container (id, runtime, pod), unit, slice; `ID` and `POD` stand for the constants.
type Expected<'a> = (
    Option<(&'a str, Option<&'a str>, Option<&'a str>)>,
    Option<&'a str>,
    Option<&'a str>,
);

fn check(text: &str, (container, unit, slice): Expected<'_>) {
    let text = text
        .replace("POD_SLICE", POD_SLICE)
        .replace("ID", ID)
        .replace("POD", POD);
    let expected = container.map(|(id, runtime, pod)| {
        (
            id.replace("ID", ID),
            runtime,
            pod.map(|pod| pod.replace("POD", POD)),
        )
    });
    let found = parse(&text);
    let container = found.container.map(|c| (c.id, c.runtime, c.pod_uid));
    assert_eq!(container, expected, "container of {text}");
    let unit = unit.map(|unit| unit.replace("ID", ID));
    assert_eq!(found.unit, unit, "unit of {text}");
    let slice = slice.map(|slice| slice.replace("POD_SLICE", POD_SLICE));
    assert_eq!(found.slice, slice, "slice of {text}");
}

#[test]
fn units_and_slices() {
    let system = Some("system.slice");
    for (text, unit, slice) in [
        ("0::/init.scope", Some("init.scope"), None),
        (
            "0::/system.slice/inetd.service",
            Some("inetd.service"),
            system,
        ),
        (
            "0::/system.slice/system-telnet.slice/telnet@3-10.0.0.1:23-10.0.0.2:4711.service",
            Some("telnet@3-10.0.0.1:23-10.0.0.2:4711.service"),
            Some("system-telnet.slice"),
        ),
        // A unit with folders of its own below.
        (
            "0::/system.slice/xinetd.service/payload/x",
            Some("xinetd.service"),
            system,
        ),
        (
            "0::/user.slice/user-1000.slice/session-3.scope",
            Some("session-3.scope"),
            Some("user-1000.slice"),
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-foo.service",
            Some("user@1000.service"),
            Some("user-1000.slice"),
        ),
        ("0::/system.slice/_cpu.service", Some("cpu.service"), system),
        // Version 1 with systemd, and both versions at once.
        (
            "12:pids:/system.slice/ssh.service\n1:name=systemd:/system.slice/ssh.service",
            Some("ssh.service"),
            system,
        ),
        (
            "1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service",
            Some("b.service"),
            system,
        ),
        (
            "9:name=systemd:/system.slice/a.service\n0::/",
            Some("a.service"),
            system,
        ),
        // No systemd.
        ("0::/", None, None),
        ("4:memory:/job\n9:name=systemd:/\n0::/", None, None),
        ("0::/openrc.sshd", None, None),
        ("0::/system.slice", None, system),
        ("0::/.service", None, None),
        ("0::/ev\u{1b}il.service", None, None),
    ] {
        check(text, (None, unit, slice));
    }
}

#[test]
fn containers() {
    let docker = Some(("ID", Some("docker"), None));
    let podman = Some(("ID", Some("podman"), None));
    let system = Some("system.slice");
    for (text, container, unit, slice) in [
        (
            "0::/system.slice/docker-ID.scope",
            docker,
            Some("docker-ID.scope"),
            system,
        ),
        ("0::/docker/ID", docker, None, None),
        (
            "4:memory:/docker/ID\n1:name=systemd:/docker/ID\n0::/",
            docker,
            None,
            None,
        ),
        ("3:cpu:/docker/ID\n0::/", docker, None, None),
        // systemd within docker: the unit is the host's.
        (
            "0::/system.slice/docker-ID.scope/system.slice/inetd.service",
            docker,
            Some("docker-ID.scope"),
            system,
        ),
        (
            "0::/machine.slice/libpod-ID.scope/container",
            podman,
            Some("libpod-ID.scope"),
            Some("machine.slice"),
        ),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope",
            podman,
            Some("user@1000.service"),
            Some("user-1000.slice"),
        ),
        ("0::/libpod_parent/libpod-ID", podman, None, None),
        (
            "0::/machine.slice/libpod-conmon-ID.scope",
            None,
            Some("libpod-conmon-ID.scope"),
            Some("machine.slice"),
        ),
        // The reader in a cgroup namespace of its own.
        ("0::/../../docker/ID", docker, None, None),
        ("0::/docker/IDff", None, None, None),
        ("0::/home/0123456789abcdef", None, None, None),
    ] {
        check(text, (container, unit, slice));
    }
}

#[test]
fn pods() {
    let pod = |runtime| Some(("ID", runtime, Some("POD")));
    let pods = Some("kubepods-burstable-podPOD_SLICE.slice");
    let system = Some("system.slice");
    for (text, container, unit, slice) in [
        (
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_SLICE.slice/\
             cri-containerd-ID.scope",
            pod(Some("containerd")),
            Some("cri-containerd-ID.scope"),
            pods,
        ),
        (
            "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_SLICE.slice/\
             crio-ID.scope/container",
            pod(Some("cri-o")),
            Some("crio-ID.scope"),
            pods,
        ),
        ("0::/kubepods/besteffort/podPOD/ID", pod(None), None, None),
        (
            "11:pids:/kubepods/podPOD/crio-ID\n0::/",
            pod(Some("cri-o")),
            None,
            None,
        ),
        (
            "0::/system.slice/containerd.service/\
             kubepods-burstable-podPOD_SLICE.slice:cri-containerd:ID",
            pod(Some("containerd")),
            Some("containerd.service"),
            system,
        ),
    ] {
        check(text, (container, unit, slice));
    }
}

#[test]
fn containers_with_names() {
    let machines = Some("machine.slice");
    for (text, container, unit, slice) in [
        (
            "0::/lxc.payload.web/init.scope",
            Some(("web", Some("lxc"), None)),
            None,
            None,
        ),
        (
            "4:memory:/lxc/web",
            Some(("web", Some("lxc"), None)),
            None,
            None,
        ),
        ("0::/lxc.monitor.web", None, None, None),
        (
            "0::/machine.slice/systemd-nspawn@web\\x2d1.service/payload/init.scope",
            Some(("web-1", Some("systemd-nspawn"), None)),
            Some("systemd-nspawn@web\\x2d1.service"),
            machines,
        ),
        (
            "0::/machine.slice/machine-web\\x2d1.scope",
            Some(("web-1", Some("systemd-nspawn"), None)),
            Some("machine-web\\x2d1.scope"),
            machines,
        ),
        (
            "0::/machine.slice/machine-lxc\\x2d4711\\x2dweb.scope",
            Some(("4711-web", Some("lxc"), None)),
            Some("machine-lxc\\x2d4711\\x2dweb.scope"),
            machines,
        ),
        (
            "0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
            None,
            Some("machine-qemu\\x2d1\\x2dvm.scope"),
            machines,
        ),
    ] {
        check(text, (container, unit, slice));
    }
}

#[test]
fn the_topmost_cgroup_is_nobodys_alone() {
    use std::os::unix::fs::MetadataExt as _;
    let root = tempfile::tempdir().expect("folder");
    let folder = root.path().join("system.slice");
    std::fs::create_dir(&folder).expect("folder");
    let inode = std::fs::metadata(&folder).expect("folder").ino();
    let of = |text: &str| id(root.path(), text);
    assert_eq!(
        of("1:name=systemd:/docker\n0::/system.slice\n"),
        Some(inode)
    );
    for text in [
        "4:memory:/docker\n0::/\n",
        "0::/../system.slice\n",
        "0::/gone\n",
        "",
    ] {
        assert_eq!(of(text), None, "{text}");
    }
}

#[test]
fn escapes_in_unit_names() {
    for (name, plain) in [
        ("a", "a"),
        ("a\\x2db", "a-b"),
        ("\\x2d\\x2d", "--"),
        ("\\x", "\\x"),
        ("\\x2", "\\x2"),
        ("\\x1b", "\\x1b"),
        ("\\xé0", "\\xé0"),
    ] {
        assert_eq!(unescape(name), plain);
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in "(?s)\\PC{0,40}|(0::|1:name=systemd:)?(/[-a-z.@:\\\\x0-9\\n]{0,70}){0,5}") {
        let membership = parse(&text);
        for name in [membership.unit, membership.slice].into_iter().flatten() {
            prop_assert!(name.len() <= NAME_MAX && name.is_ascii());
        }
    }
}
