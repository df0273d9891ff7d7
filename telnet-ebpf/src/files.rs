//! From a file descriptor of the current process to the socket behind it.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_get_current_task;

use crate::{
    offsets::{
        OFFSET_FDTABLE_FD, OFFSET_FDTABLE_MAX_FDS, OFFSET_FILE_F_INODE, OFFSET_FILE_PRIVATE_DATA,
        OFFSET_FILES_FDT, OFFSET_INODE_I_MODE, OFFSET_SOCKET_SK, OFFSET_TASK_FILES,
    },
    read::{KernelPtr, Probed, Sock},
};

/// Bytes of a pointer in `fdtable.fd`.
const POINTER_BYTES: u32 = 8;
/// `S_IFMT` and `S_IFSOCK` of `i_mode`.
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;

/// `current->files->fdt->fd[fd]->private_data->sk`, when the file is a socket.
///
/// The file table is an array of pointers, which the verifier does not follow by type, so this
/// reads through the helper and gives nothing under lockdown=confidentiality.
#[inline(always)]
pub(crate) fn socket(fd: u32) -> Option<Sock<Probed>> {
    // SAFETY: takes no argument; the current task outlives the program.
    let task = unsafe { bpf_get_current_task() };
    #[expect(
        clippy::as_conversions,
        reason = "the helper returns the pointer as a number"
    )]
    let task = KernelPtr::<Probed>::new(task as *const c_void);
    let table = task.follow(&OFFSET_TASK_FILES)?.follow(&OFFSET_FILES_FDT)?;
    if fd >= table.field::<u32>(&OFFSET_FDTABLE_MAX_FDS) {
        return None;
    }
    let file = table
        .follow(&OFFSET_FDTABLE_FD)?
        .pointer_at(fd.checked_mul(POINTER_BYTES)?)?;
    let mode: u16 = file
        .follow(&OFFSET_FILE_F_INODE)?
        .field(&OFFSET_INODE_I_MODE);
    if mode & S_IFMT != S_IFSOCK {
        return None;
    }
    let socket = file.follow(&OFFSET_FILE_PRIVATE_DATA)?;
    Some(Sock::of(socket.follow(&OFFSET_SOCKET_SK)?))
}
