//! The virtual machine with each processor.

use crate::target::Target;

/// What QEMU is told, and what the guest finds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Board {
    /// The emulator.
    pub(crate) program: &'static str,
    /// The Debian package it is in.
    pub(crate) package: &'static str,
    pub(super) machine: &'static str,
    /// The processor to emulate.
    pub(super) cpu: &'static str,
    /// Kernel parameters, among them where its log goes: the first serial line.
    pub(super) parameters: &'static str,
    /// More of them where the processor is emulated. What was translated is kept by address: a program
    /// that is loaded elsewhere each time it starts would be translated each time.
    pub(super) emulated: &'static str,
    /// A second serial line, to standard output.
    pub(super) line: &'static [&'static str],
    /// The guest's name of it.
    pub(super) line_device: &'static str,
}

impl Board {
    pub(crate) const fn of(target: Target) -> Self {
        match target {
            Target::X86_64 => Self {
                program: "qemu-system-x86_64",
                package: "qemu-system-x86",
                machine: "q35",
                // A kernel that believes in fast string operations copies and clears memory byte by
                // byte, each byte emulated: a third of the time that the agent takes to start.
                cpu: "max,-erms",
                // The timer works, but a guest that got no processor while it tries it out panics.
                parameters: "console=ttyS0 no_timer_check",
                emulated: "norandmaps",
                line: &["-serial", "stdio"],
                line_device: "/dev/ttyS1",
            },
            Target::Aarch64 => Self {
                program: "qemu-system-aarch64",
                package: "qemu-system-arm",
                machine: "virt",
                // Pointer authentication, which newer ones have, is slow to emulate.
                cpu: "cortex-a72",
                parameters: "console=ttyAMA0",
                emulated: "norandmaps",
                // The machine has one serial line of its own.
                line: &[
                    "-chardev",
                    "stdio,id=line",
                    "-device",
                    "pci-serial,chardev=line",
                ],
                line_device: "/dev/ttyS0",
            },
        }
    }
}
