//! Every read of kernel memory.

use core::{ffi::c_void, marker::PhantomData, ptr};

use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_probe_read_kernel, bpf_skc_to_tcp_sock};
use telnet_common::{AF_INET, AF_INET6, SocketRecord};

use crate::filter::Address;
use crate::offsets::{
    HAS_SOCKET_COOKIE, OFFSET_BYTES_ACKED, OFFSET_BYTES_RECEIVED, OFFSET_FILE_F_INODE,
    OFFSET_INET_SPORT, OFFSET_INODE_I_INO, OFFSET_NET_INUM, OFFSET_SEGS_IN, OFFSET_SEGS_OUT,
    OFFSET_SK_ERR, OFFSET_SK_PROTOCOL, OFFSET_SKC_DADDR, OFFSET_SKC_DPORT, OFFSET_SKC_FAMILY,
    OFFSET_SKC_FLAGS, OFFSET_SKC_NET, OFFSET_SKC_NUM, OFFSET_SKC_RCV_SADDR, OFFSET_SKC_V6_DADDR,
    OFFSET_SKC_V6_RCV_SADDR, OFFSET_SOCK_SK_SOCKET, OFFSET_SOCKET_FILE, Offset,
};

/// How memory behind a pointer is read.
pub(crate) trait Access: Copy {
    /// The value at `address`, or `T::default()` when it cannot be read.
    fn load<T: Copy + Default>(address: *const T) -> T;
}

/// Through a pointer that the verifier tracks as a BTF pointer: a load that faults gives 0
/// instead of an oops, and the verifier checks that a member of this size lies there. Allowed
/// under lockdown.
#[derive(Clone, Copy)]
pub(crate) struct Btf;

impl Access for Btf {
    #[inline(always)]
    fn load<T: Copy + Default>(address: *const T) -> T {
        // SAFETY: the verifier proves that `address` is a member of this size in the object
        // behind the pointer, or refuses the program. Volatile keeps it one load.
        unsafe { ptr::read_volatile(address) }
    }
}

/// Through `bpf_probe_read_kernel`: any address, refused under lockdown=confidentiality.
#[derive(Clone, Copy)]
pub(crate) struct Probed;

impl Access for Probed {
    #[inline(always)]
    fn load<T: Copy + Default>(address: *const T) -> T {
        // SAFETY: the helper checks the address itself and fails instead of faulting.
        unsafe { bpf_probe_read_kernel(address) }.unwrap_or_default()
    }
}

/// A kernel object and how to read it.
#[derive(Clone, Copy)]
pub(crate) struct KernelPtr<A>(*const u8, PhantomData<A>);

impl<A: Access> KernelPtr<A> {
    /// Wraps a pointer the kernel handed to the program or a helper returned.
    #[inline(always)]
    pub(crate) const fn new(pointer: *const c_void) -> Self {
        Self(pointer.cast(), PhantomData)
    }

    /// The member at `offset`, 0 when this kernel has no such member.
    #[inline(always)]
    pub(crate) fn field<T: Copy + Default>(self, offset: &Offset) -> T {
        match offset.get() {
            Some(offset) => self.at(offset),
            None => T::default(),
        }
    }

    /// The value `offset` bytes in.
    #[inline(always)]
    pub(crate) fn at<T: Copy + Default>(self, offset: u32) -> T {
        #[expect(clippy::as_conversions, reason = "widening; usize has 64 bits on BPF")]
        let address = self.0.wrapping_add(offset as usize).cast::<T>();
        A::load(address)
    }

    /// The kernel pointer stored in the member at `offset`.
    #[inline(always)]
    pub(crate) fn follow(self, offset: &Offset) -> Option<Self> {
        self.pointer_at(offset.get()?)
    }

    /// The kernel pointer stored `offset` bytes in.
    #[inline(always)]
    pub(crate) fn pointer_at(self, offset: u32) -> Option<Self> {
        let pointer: Pointer = self.at(offset);
        (!pointer.0.is_null()).then_some(Self(pointer.0, PhantomData))
    }

    /// The object's address as a number: an identity, nothing more.
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        #[expect(
            clippy::as_conversions,
            reason = "the address is the identity, nothing more"
        )]
        let address = self.0 as u64;
        address
    }
}

/// A pointer with a default, so that it can be read like any other value. It stays a pointer,
/// since the verifier follows pointers and not numbers.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Pointer(*const u8);

impl Default for Pointer {
    #[inline(always)]
    fn default() -> Self {
        Self(ptr::null())
    }
}

/// `struct sock`.
#[derive(Clone, Copy)]
pub(crate) struct Sock<A>(KernelPtr<A>);

impl<A: Access> Sock<A> {
    /// Wraps a hook's argument.
    #[inline(always)]
    pub(crate) const fn new(sk: *const c_void) -> Self {
        Self(KernelPtr::new(sk))
    }

    /// A kernel object known to be a `struct sock`.
    #[inline(always)]
    pub(crate) const fn of(sk: KernelPtr<A>) -> Self {
        Self(sk)
    }

    /// `skc_family`.
    #[inline(always)]
    pub(crate) fn family(self) -> u16 {
        self.0.field(&OFFSET_SKC_FAMILY)
    }

    /// `sk_protocol`: tells TCP from MPTCP's and SCTP's own sockets.
    #[inline(always)]
    pub(crate) fn protocol(self) -> u16 {
        self.0.field(&OFFSET_SK_PROTOCOL)
    }

    /// `skc_dport` in host order.
    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        u16::from_be(self.0.field(&OFFSET_SKC_DPORT))
    }

    /// Whether it has ports.
    #[inline(always)]
    pub(crate) fn is_internet(self) -> bool {
        let family = self.family();
        family == AF_INET || family == AF_INET6
    }

    /// `skc_num`: 0 before a port is chosen and again after CLOSE.
    #[inline(always)]
    pub(crate) fn bound_port(self) -> u16 {
        self.0.field(&OFFSET_SKC_NUM)
    }

    /// Whether the peer's FIN was received: `tcp_fin` sets `SOCK_DONE` in `skc_flags`.
    #[inline(always)]
    pub(crate) fn fin_received(self) -> bool {
        // SOCK_DONE has been bit 1 of the flags since before 4.16.
        self.0.field::<u64>(&OFFSET_SKC_FLAGS) & 2 != 0
    }

    /// The socket's address as a number.
    #[inline(always)]
    pub(crate) fn identity(self) -> u64 {
        self.0.address()
    }

    /// `sk->sk_socket->file->f_inode->i_ino`: the number `/proc/PID/fd` shows; 0 without a file.
    #[inline(always)]
    pub(crate) fn inode(self) -> u64 {
        self.0
            .follow(&OFFSET_SOCK_SK_SOCKET)
            .and_then(|socket| socket.follow(&OFFSET_SOCKET_FILE))
            .and_then(|file| file.follow(&OFFSET_FILE_F_INODE))
            .map_or(0, |inode| inode.field(&OFFSET_INODE_I_INO))
    }

    /// Writes everything the record says of the socket but its local port and cookie.
    #[inline(always)]
    pub(crate) fn describe(self, record: &mut SocketRecord) {
        let sk = self.0;
        record.sock = sk.address();
        record.netns = sk
            .follow(&OFFSET_SKC_NET)
            .map_or(0, |net| net.field(&OFFSET_NET_INUM));
        record.error = sk.field(&OFFSET_SK_ERR);
        record.remote_port = self.remote_port();
        record.family = self.family();
        record.protocol = self.protocol();
        record.local_address = self.local_address(record.family);
        record.remote_address = self.remote_address(record.family);
    }

    /// The local and the remote address.
    #[inline(always)]
    pub(crate) fn addresses(self) -> (Address, Address) {
        let family = self.family();
        (
            Address::new(family, self.local_address(family)),
            Address::new(family, self.remote_address(family)),
        )
    }

    #[inline(always)]
    fn local_address(self, family: u16) -> [u8; 16] {
        address(
            self.0,
            family,
            &OFFSET_SKC_RCV_SADDR,
            &OFFSET_SKC_V6_RCV_SADDR,
        )
    }

    #[inline(always)]
    fn remote_address(self, family: u16) -> [u8; 16] {
        address(self.0, family, &OFFSET_SKC_DADDR, &OFFSET_SKC_V6_DADDR)
    }
}

impl Sock<Btf> {
    /// The socket as a `struct tcp_sock`: fields beyond `struct sock` lie there, and the verifier
    /// wants the kernel's own cast first.
    #[inline(always)]
    pub(crate) fn tcp(self) -> Option<TcpSock> {
        // SAFETY: the verifier knows the argument as a pointer to `struct sock`, which is what
        // the helper takes; it returns NULL when the socket is not a TCP one.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0.0.cast_mut().cast()) };
        (!tcp.is_null()).then_some(TcpSock(KernelPtr::new(tcp.cast_const().cast())))
    }

    /// The cookie, made by the kernel when nobody asked before; 0 when this kernel has no helper.
    #[inline(always)]
    pub(crate) fn cookie(self) -> u64 {
        if !HAS_SOCKET_COOKIE.get() {
            return 0;
        }
        // SAFETY: the helper takes a BTF pointer to a socket, which the verifier knows this is.
        unsafe { bpf_get_socket_cookie(self.0.0.cast_mut().cast()) }
    }
}

/// `struct tcp_sock`.
#[derive(Clone, Copy)]
pub(crate) struct TcpSock(KernelPtr<Btf>);

impl TcpSock {
    /// Its first part, which is a `struct sock`.
    #[inline(always)]
    pub(crate) const fn sock(self) -> Sock<Btf> {
        Sock::of(self.0)
    }

    /// `inet_sport` in host order: outlives CLOSE, unlike `skc_num`.
    #[inline(always)]
    pub(crate) fn inet_sport(self) -> u16 {
        u16::from_be(self.0.field(&OFFSET_INET_SPORT))
    }

    /// `bytes_received`.
    #[inline(always)]
    pub(crate) fn bytes_received(self) -> u64 {
        self.0.field(&OFFSET_BYTES_RECEIVED)
    }

    /// `bytes_acked`.
    #[inline(always)]
    pub(crate) fn bytes_acked(self) -> u64 {
        self.0.field(&OFFSET_BYTES_ACKED)
    }

    /// `segs_in`.
    #[inline(always)]
    pub(crate) fn segs_in(self) -> u32 {
        self.0.field(&OFFSET_SEGS_IN)
    }

    /// `segs_out`.
    #[inline(always)]
    pub(crate) fn segs_out(self) -> u32 {
        self.0.field(&OFFSET_SEGS_OUT)
    }
}

/// Address bytes in network order. Read in words: the verifier wants the element size of
/// `in6_addr.s6_addr32`.
#[inline(always)]
fn address<A: Access>(sk: KernelPtr<A>, family: u16, v4: &Offset, v6: &Offset) -> [u8; 16] {
    let mut words = [0u32; 4];
    match family {
        AF_INET => words[0] = sk.field(v4),
        AF_INET6 => {
            if let Some(offset) = v6.get() {
                words[0] = sk.at(offset);
                words[1] = sk.at(offset + 4);
                words[2] = sk.at(offset + 8);
                words[3] = sk.at(offset + 12);
            }
        }
        _ => {}
    }
    zerocopy::transmute!(words)
}
