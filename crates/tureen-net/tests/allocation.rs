//! In steady state the media path allocates nothing.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tureen_net::{Net, NetConfig, Port, UdpOptions};

struct CountingAllocator;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is forwarded to the system's allocator, and counting does not allocate.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller meets the requirements of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn steady_state_allocates_nothing() {
    for gso in [true, false] {
        let mut net = Net::new(NetConfig { gso, ..NetConfig::default() }).unwrap();
        let options = UdpOptions::new(IpAddr::V4(Ipv4Addr::LOCALHOST), Port::Any);
        let addresses: Vec<_> = (0..4).map(|token| net.bind_udp(token, &options).unwrap()).collect();
        let mut round = || {
            for (token, address) in (0..).zip(&addresses) {
                net.send_slot()[..5000].fill(1);
                net.commit(token, *address, 5000, 1200);
            }
            net.flush();
            let mut received = 0;
            while received < 20 {
                net.wait(Some(Duration::from_secs(10))).unwrap();
                let before = received;
                while let Some(batch) = net.receive() {
                    received += batch.count();
                }
                assert!(received > before, "{received} of 20 datagrams came");
            }
        };
        round();
        let before = ALLOCATIONS.get();
        (0..100).for_each(|_| round());
        assert_eq!(ALLOCATIONS.get() - before, 0, "gso: {gso}");
    }
}
