//! Pools, and the connections of the server.

use super::*;

#[test]
fn pools_that_can_exceed_the_servers_connections_are_named_with_their_sum() {
    let pool = |size: u32| {
        service(
            "",
            10,
            &format!("{DATABASE}, {{ name: DATABASE_MAX_CONNECTIONS, value: '{size}' }}"),
        )
    };
    names(
        &findings(&[("service.yaml", &pool(10))]),
        "pools of 100 connections, and the server has 97",
    );
    assert_eq!(findings(&[("service.yaml", &pool(9))]), [""; 0]);
    // More than a function accepts.
    names(&findings(&[("service.yaml", &pool(5000))]), "pools of 50000");
    let (one, other) = (service("", 10, DATABASE), service("", 10, DATABASE));
    names(
        &findings(&[("a/service.yaml", &one), ("b/service.yaml", &other)]),
        "pools of 100",
    );
    let named = |place: &str, instances: &str| {
        let bound = format!("maxScale: '{instances}'");
        (
            place.to_owned() + "/service.yaml",
            service("", 10, DATABASE).replace("maxScale: '10'", &bound),
        )
    };
    let files = [
        named("small", "2"),
        named("large", "30"),
        named("medium", "20"),
        named("tiny", "1"),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
    let said = findings(&files).concat();
    let order = [
        "large/service.yaml, app: 30 instances x 5 (DATABASE_MAX_CONNECTIONS)",
        "20 instances x 5",
        "2 instances x 5",
    ];
    let places: Vec<Option<usize>> = order.iter().map(|pool| said.find(pool)).collect();
    assert!(
        places.is_sorted() && places[0].is_some() && !said.contains("tiny"),
        "{said}"
    );
    let unbounded = service("", 10, DATABASE).replace("autoscaling.knative.dev/maxScale: '10'", "");
    names(&findings(&[("service.yaml", &unbounded)]), "any number of instances");
}
