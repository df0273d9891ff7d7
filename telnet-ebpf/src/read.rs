//! Every read of kernel memory.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::{bpf_get_socket_cookie, bpf_skc_to_tcp_sock};
use telnet_common::{AF_INET, AF_INET6, SocketRecord};

use crate::offsets::{
    HAS_SOCKET_COOKIE, OFFSET_INET_SPORT, OFFSET_NET_INUM, OFFSET_SK_ERR, OFFSET_SK_PROTOCOL,
    OFFSET_SKC_DADDR, OFFSET_SKC_DPORT, OFFSET_SKC_FAMILY, OFFSET_SKC_NET, OFFSET_SKC_NUM,
    OFFSET_SKC_RCV_SADDR, OFFSET_SKC_V6_DADDR, OFFSET_SKC_V6_RCV_SADDR, Offset,
};

/// A pointer to a kernel object that the verifier tracks as a BTF pointer: a load through it
/// that faults gives 0 instead of an oops (`bpf_probe_read_kernel` semantics, done by the JIT).
#[derive(Clone, Copy)]
pub(crate) struct KernelPtr(*const u8);

impl KernelPtr {
    /// Wraps a pointer the kernel handed to the program or a helper returned.
    pub(crate) const fn new(pointer: *const c_void) -> Self {
        Self(pointer.cast())
    }

    /// The member at `offset`, 0 when this kernel has no such member.
    #[inline(always)]
    pub(crate) fn field<T: Copy + Default>(self, offset: &Offset) -> T {
        match offset.get() {
            Some(offset) => self.at(offset),
            None => T::default(),
        }
    }

    #[inline(always)]
    fn at<T: Copy>(self, offset: u32) -> T {
        #[expect(clippy::as_conversions, reason = "widening; usize has 64 bits on BPF")]
        let address = self.0.wrapping_add(offset as usize).cast::<T>();
        // SAFETY: the verifier proves that `address` is a member of this size and type in the
        // object behind the pointer, or refuses the program. Volatile keeps it one load.
        unsafe { ptr::read_volatile(address) }
    }

    /// The kernel pointer stored in the member at `offset`.
    #[inline(always)]
    pub(crate) fn follow(self, offset: &Offset) -> Option<Self> {
        let pointer: *const u8 = self.at(offset.get()?);
        (!pointer.is_null()).then_some(Self(pointer))
    }
}

/// `struct sock` of the event.
#[derive(Clone, Copy)]
pub(crate) struct Sock(*mut c_void);

impl Sock {
    /// Wraps the tracepoint's first argument.
    pub(crate) const fn new(sk: *mut c_void) -> Self {
        Self(sk)
    }

    const fn fields(self) -> KernelPtr {
        KernelPtr::new(self.0)
    }

    /// `sk_protocol`: tells TCP from MPTCP's and SCTP's own sockets.
    #[inline(always)]
    pub(crate) fn protocol(self) -> u16 {
        self.fields().field(&OFFSET_SK_PROTOCOL)
    }

    /// `skc_dport` in host order.
    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        u16::from_be(self.fields().field(&OFFSET_SKC_DPORT))
    }

    /// `skc_num`: 0 before a port is chosen and again after CLOSE.
    #[inline(always)]
    pub(crate) fn bound_port(self) -> u16 {
        self.fields().field(&OFFSET_SKC_NUM)
    }

    /// `inet_sport` in host order: outlives CLOSE. It lies beyond `struct sock`, so the verifier
    /// wants the socket as a `struct tcp_sock` first.
    #[inline(always)]
    pub(crate) fn inet_sport(self) -> u16 {
        // SAFETY: the verifier knows the argument as a pointer to `struct sock`, which is what
        // the helper takes; it returns NULL when the socket is not a TCP one.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0) };
        if tcp.is_null() {
            return 0;
        }
        u16::from_be(KernelPtr::new(tcp.cast()).field(&OFFSET_INET_SPORT))
    }

    /// Everything the record says of the socket but its states and local port.
    #[inline(always)]
    pub(crate) fn record(self) -> SocketRecord {
        let sk = self.fields();
        let family = sk.field(&OFFSET_SKC_FAMILY);
        #[expect(
            clippy::as_conversions,
            reason = "the address is the identity, nothing more"
        )]
        let sock = self.0 as u64;
        SocketRecord {
            sock,
            cookie: self.cookie(),
            netns: sk
                .follow(&OFFSET_SKC_NET)
                .map_or(0, |net| net.field(&OFFSET_NET_INUM)),
            error: sk.field(&OFFSET_SK_ERR),
            local_port: 0,
            remote_port: self.remote_port(),
            family,
            old_state: 0,
            new_state: 0,
            local_address: address(sk, family, &OFFSET_SKC_RCV_SADDR, &OFFSET_SKC_V6_RCV_SADDR),
            remote_address: address(sk, family, &OFFSET_SKC_DADDR, &OFFSET_SKC_V6_DADDR),
        }
    }

    #[inline(always)]
    fn cookie(self) -> u64 {
        if HAS_SOCKET_COOKIE.load() == 0 {
            return 0;
        }
        // SAFETY: the helper takes a BTF pointer to a socket, which the verifier knows this is.
        unsafe { bpf_get_socket_cookie(self.0) }
    }
}

/// Address bytes in network order. Read in words: the verifier wants the element size of
/// `in6_addr.s6_addr32`.
#[inline(always)]
fn address(sk: KernelPtr, family: u16, v4: &Offset, v6: &Offset) -> [u8; 16] {
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
