//! The pools of all functions together, against the connections of the server.

use super::Limits;
use crate::deployment::{Deployed, Deployment, Platform};
use shared::database::Database;
use std::{cmp::Reverse, collections::BTreeMap};

/// Connections that PostgreSQL reserves for superusers (`superuser_reserved_connections`).
const RESERVED_CONNECTIONS: u64 = 3;

/// Platforms whose pools together exceed the connections of the server, and functions that may have any number of instances.
pub fn exceed_those_of_the_server(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let functions = deployment.functions.iter();
    let functions: Vec<&Deployed> = functions.filter(|function| limits.uses_database(function)).collect();
    let free = limits.connections.saturating_sub(RESERVED_CONNECTIONS);
    let pools = pools(&functions, limits.concurrency).into_iter();
    let exceeding = pools.filter_map(|(platform, pools)| exceeding(platform, pools, free));
    unbounded(&functions).chain(exceeding).collect()
}

fn unbounded(functions: &[&Deployed]) -> impl Iterator<Item = String> {
    let any_number = |function: &&&Deployed| function.instances.is_none() && function.platform == Platform::CloudRun;
    let functions = functions.iter().filter(any_number);
    functions.map(|function| format!("{}: any number of instances, each with a pool", function.place))
}

/// The functions with a bound, and the instances that each may have. Lambda functions without a reservation share the
/// concurrency of the account, which the largest of their pools may take.
fn pools<'a>(functions: &[&'a Deployed], concurrency: u64) -> BTreeMap<Platform, Vec<(&'a Deployed, u64)>> {
    let bounded = functions
        .iter()
        .filter_map(|function| Some((*function, function.instances?)));
    let shares = |function: &&&Deployed| function.instances.is_none() && function.platform == Platform::Lambda;
    let largest = functions.iter().filter(shares).max_by_key(|function| function.pool());
    let mut pools: BTreeMap<Platform, Vec<(&Deployed, u64)>> = BTreeMap::new();
    for (function, instances) in bounded.chain(largest.map(|function| (*function, concurrency))) {
        pools.entry(function.platform).or_default().push((function, instances));
    }
    pools
}

/// The sum of these pools, if it is more than the connections that are free, and the largest of them.
fn exceeding(platform: Platform, mut pools: Vec<(&Deployed, u64)>, free: u64) -> Option<String> {
    const NAMED: usize = 3;
    let size = |(function, instances): &(&Deployed, u64)| instances.saturating_mul(function.pool());
    let sum = pools.iter().map(size).fold(0, u64::saturating_add);
    pools.sort_by_key(|pool| Reverse(size(pool)));
    let largest = pools.iter().take(NAMED).map(|(function, instances)| {
        let (place, pool) = (&function.place, function.pool());
        format!("{place}: {instances} instances x {pool} (DATABASE_MAX_CONNECTIONS)")
    });
    let largest: Vec<String> = largest.collect();
    (sum > free).then(|| {
        let largest = largest.join("; ");
        format!(
            "{platform:?}: pools of {sum} connections, and the server has {free} (POSTGRES_MAX_CONNECTIONS); the largest \
             are {largest}"
        )
    })
}

impl Deployed {
    /// The largest number of connections of one instance.
    fn pool(&self) -> u64 {
        let set = self
            .setting("DATABASE_MAX_CONNECTIONS")
            .and_then(|text| text.trim().parse().ok());
        set.unwrap_or_else(|| Database::from_env(&self.env()).max_connections().into())
    }
}
