//! Kernel probe.
#![no_std]
#![no_main]
