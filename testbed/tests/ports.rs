//! Ports are free, distinct, and refused with a clear word where they are not.

use std::{collections::BTreeSet, net::TcpListener};

use sluice_testbed::ports::{PortError, Ports, loopback};

#[test]
fn every_free_port_can_be_listened_on_and_none_is_given_twice() {
    let mut ports = Ports::new(None);
    let listeners: Vec<_> =
        (0..50).map(|_| TcpListener::bind(loopback(ports.take("a test").unwrap())).unwrap()).collect();
    let distinct: BTreeSet<_> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
    assert_eq!(distinct.len(), 50);
}

#[test]
fn two_fleets_of_one_process_get_different_ports_though_neither_listens_yet() {
    let (mut one, mut other) = (Ports::new(None), Ports::new(None));
    let taken: BTreeSet<_> = (0..20).flat_map(|_| [one.take("one").unwrap(), other.take("other").unwrap()]).collect();
    assert_eq!(taken.len(), 40);
}

#[test]
fn a_taken_port_is_refused_by_its_number_and_purpose() {
    // The port after a listener's own may be anybody's; so the listener itself is the base port.
    let listener = TcpListener::bind(loopback(0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let refusal = Ports::new(Some(port)).take("ingest").unwrap_err();
    assert_eq!(refusal, PortError::Taken { port, purpose: "ingest".into() });
    assert!(refusal.to_string().contains(&format!("port {port}, wanted for ingest, is taken")), "{refusal}");
}

#[test]
fn ports_are_counted_from_the_base_port() {
    // Two neighbours that are ours: the other tests of this process are not given them.
    let mut free = Ports::new(None);
    let mut pairs = std::iter::repeat_with(|| (free.take("a test").unwrap(), free.take("a test").unwrap()));
    let (base, next) = pairs.find(|(one, other)| *other == one + 1).unwrap();
    let mut ports = Ports::new(Some(base));
    assert_eq!((ports.take("one").unwrap(), ports.take("other").unwrap()), (base, next));
}
