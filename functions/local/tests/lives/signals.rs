//! A signal while `local` starts, as the first process of a container.

use crate::newcomer::Checkout;
use std::net::TcpListener;
use testing::signals_end_the_first_process;

#[test]
#[ignore = "needs the right to make namespaces, which .ci/run has as root"]
fn as_the_first_process_of_its_container_a_signal_ends_a_start() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgresql://u@{}/d", silent.local_addr().unwrap());
    let checkout = Checkout::new("first-process");
    signals_end_the_first_process(&checkout.local().with("DATABASE_URL", url), 1);
}
