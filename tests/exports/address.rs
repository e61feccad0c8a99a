//! Packet filters of Linux: a gateway that has loaded an export lets its clients reach exactly what is on the list.

mod firewalld;
mod gateway;
mod ipset;
mod iptables;
mod nftables;
