//! The scripts that deploy, against clouds that fail and signals at every step: afterwards everything serves the old release,
//! or everything serves the new one.

use crate::checkout::{bundle, functions_with};
use crate::cloud::{Cloud, DEAD, STACK, Script};
use crate::newcomer::{Checkout, started};
use std::{
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use testing::{Process, signal, signal_group, tokens};

fn cloud_run() -> Script {
    let services = functions_with("service.yaml").into_iter();
    Script {
        name: "cloud-run",
        serves: services.map(|service| format!("{}-{service}", bundle())).collect(),
    }
}

fn lambda() -> Script {
    Script {
        name: "lambda",
        serves: vec![STACK.to_owned()],
    }
}

/// A `local` that the smoke test finds healthy, with a heartbeat of 1 s, so that the test is short.
fn healthy(name: &str) -> (Checkout, Process) {
    let checkout = Checkout::new(name);
    let local = checkout.local().with("SSE_HEARTBEAT_INTERVAL", "1s");
    let server = started(&local.with("TOKEN_ISSUERS", tokens::issuers()));
    (checkout, server)
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The number of calls of a deployment that succeeds, and the number before the rollback of one whose smoke test fails.
fn calls(script: &Script, url: &str) -> (usize, usize) {
    let (whole, refused) = (Cloud::new(script, url), Cloud::new(script, url).with("URL", DEAD));
    let run = whole.run(&[]);
    assert!(run.status.success(), "{}", message(&run));
    whole.assert_serves("new", "after a deployment");
    assert!(!refused.run(&[]).status.success());
    refused.assert_serves("old", "after a smoke test that failed");
    let (whole, refused) = (whole.calls(), refused.calls());
    let forward = whole
        .iter()
        .zip(&refused)
        .take_while(|(one, other)| one == other)
        .count();
    assert!(forward > 10 && refused.len() > forward, "{refused:#?}");
    (forward, refused.len())
}

/// Runs `test` once for each call, some at a time.
fn each(calls: impl Iterator<Item = usize>, test: impl Fn(usize) + Sync) {
    let calls: Vec<usize> = calls.collect();
    let next = AtomicUsize::new(0);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                    test(*call);
                }
            });
        }
    });
}

fn every_call_that_fails_is_noticed(script: &Script) {
    let (_checkout, live) = healthy(&format!("{}-calls", script.name));
    let whole = Cloud::new(script, &live.url);
    assert!(whole.run(&[]).status.success());
    each(1..=whole.calls().len(), |call| {
        let cloud = Cloud::new(script, &live.url).with("FAIL_AT", call.to_string());
        let run = cloud.run(&[]);
        let context = format!("call {call} failed: {}", message(&run));
        assert!(!run.status.success(), "{context}");
        assert!(context.contains(&format!("call {call} fails")), "{context}");
        cloud.assert_serves("old", &context);
    });
    let cloud = Cloud::new(script, &live.url).with("CANDIDATE_URL", DEAD);
    assert!(!cloud.run(&[]).status.success());
    cloud.assert_serves("old", "no smoke test of the candidate");
}

fn a_rollback_goes_on_where_a_call_of_it_fails(script: &Script) {
    let (_checkout, live) = healthy(&format!("{}-rollback", script.name));
    let (forward, all) = calls(script, &live.url);
    each(forward + 1..=all, |call| {
        let cloud = Cloud::new(script, &live.url).with("URL", DEAD);
        let cloud = cloud.with("FAIL_AT", call.to_string());
        let run = cloud.run(&[]);
        let said = message(&run);
        assert!(
            !run.status.success() && said.contains(&format!("call {call} fails")),
            "{said}"
        );
        let named: Vec<&str> = said
            .lines()
            .filter_map(|line| line.strip_prefix("not rolled back: "))
            .collect();
        assert_eq!(named.len(), 1, "{said}");
        for name in script.serves.iter().filter(|name| !named.contains(&name.as_str())) {
            assert_eq!(cloud.serves(name), "old", "{name}: {said}");
        }
        let refused = cloud.run(&[]);
        assert!(
            message(&refused).contains("roll-back takes it back"),
            "{}",
            message(&refused)
        );
        let again = cloud.run(&["roll-back"]);
        assert!(again.status.success(), "{}", message(&again));
        cloud.assert_serves("old", &said);
    });
}

fn every_signal_takes_a_deployment_back(script: &Script) {
    let (_checkout, live) = healthy(&format!("{}-signals", script.name));
    let (forward, all) = calls(script, &live.url);
    each(1..=forward, |call| {
        let (name, number) = [("HUP", 1), ("INT", 2), ("QUIT", 3), ("TERM", 15)][call % 4];
        let cloud = Cloud::new(script, &live.url).with("PAUSE_AT", call.to_string());
        let run = cloud.start();
        signal(run.id(), name);
        let run = run.wait_with_output().unwrap();
        let context = format!("SIG{name} at call {call}: {}", message(&run));
        assert_eq!(run.status.code(), Some(128 + number), "{context}");
        assert!(context.contains(&format!("stopped by SIG{name}")), "{context}");
        cloud.assert_serves("old", &context);
    });
    // Signals during the rollback, when nobody reads its messages any more.
    each(forward + 1..=all, |call| {
        let cloud = Cloud::new(script, &live.url).with("URL", DEAD);
        let cloud = cloud.with("PAUSE_AT", call.to_string());
        let mut run = cloud.start();
        drop((run.stdout.take(), run.stderr.take()));
        for name in ["INT", "TERM", "HUP"] {
            signal(run.id(), name);
        }
        assert_eq!(run.wait().unwrap().code(), Some(1), "at call {call}");
        cloud.assert_serves("old", &format!("signals at call {call}"));
    });
}

/// The process group of the deployment that a script runs.
fn deployment(script: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{script}/task/{script}/children")).unwrap();
    children.trim().parse().unwrap()
}

fn what_a_killed_deployment_left_is_taken_back(script: &Script) {
    let (_checkout, live) = healthy(&format!("{}-killed", script.name));
    let (forward, _) = calls(script, &live.url);
    each(1..=forward, |call| {
        let cloud = Cloud::new(script, &live.url).with("PAUSE_AT", call.to_string());
        let mut run = cloud.start();
        let group = deployment(run.id());
        run.kill().unwrap();
        signal_group(group, "KILL");
        run.wait().unwrap();
        let taken_back = cloud.run(&["roll-back"]);
        assert!(taken_back.status.success(), "{}", message(&taken_back));
        cloud.assert_serves("old", &format!("killed at call {call}"));
    });
    let nothing = Cloud::new(script, &live.url);
    assert!(nothing.run(&["roll-back"]).status.success());
    nothing.assert_serves("old", "nothing was deployed");
}

fn what_is_new_serves_after_its_smoke_test_or_goes(script: &Script) {
    let (_checkout, live) = healthy(&format!("{}-new", script.name));
    let whole = Cloud::empty(script, &live.url);
    let run = whole.run(&[]);
    assert!(run.status.success(), "{}", message(&run));
    whole.assert_serves("new", "a first deployment");
    each(1..=whole.calls().len(), |call| {
        let cloud = Cloud::empty(script, &live.url).with("FAIL_AT", call.to_string());
        let run = cloud.run(&[]);
        assert!(!run.status.success());
        cloud.assert_serves("nothing", &format!("call {call}: {}", message(&run)));
    });
    let unhealthy = Cloud::empty(script, &live.url).with("CANDIDATE_URL", DEAD);
    let run = unhealthy.run(&[]);
    assert!(!run.status.success());
    unhealthy.assert_serves("nothing", &message(&run));
    let made = |call: &String| call.contains(&format!("--stack-name {STACK} ")) && call.starts_with("sam");
    assert!(
        !unhealthy.calls().iter().any(made),
        "it took traffic before its smoke test"
    );
}

macro_rules! in_both_clouds {
    ($($test:ident => $cloud_run:ident, $lambda:ident;)*) => {$(
        #[test]
        #[ignore = "needs curl, envsubst and jq; .ci/run installs them"]
        fn $cloud_run() {
            $test(&cloud_run());
        }

        #[test]
        #[ignore = "needs curl, envsubst and jq; .ci/run installs them"]
        fn $lambda() {
            $test(&lambda());
        }
    )*};
}

in_both_clouds! {
    every_call_that_fails_is_noticed =>
        a_deployment_to_cloud_run_that_fails_anywhere_leaves_every_service_as_it_was,
        a_deployment_to_lambda_that_fails_anywhere_leaves_the_stack_as_it_was;
    a_rollback_goes_on_where_a_call_of_it_fails =>
        a_rollback_on_cloud_run_tries_every_service_and_names_those_that_fail,
        a_rollback_on_lambda_names_what_fails_and_can_be_repeated;
    every_signal_takes_a_deployment_back =>
        a_signal_at_any_moment_of_a_deployment_to_cloud_run_takes_it_back,
        a_signal_at_any_moment_of_a_deployment_to_lambda_takes_it_back;
    what_a_killed_deployment_left_is_taken_back =>
        what_a_killed_deployment_left_on_cloud_run_is_taken_back,
        what_a_killed_deployment_left_on_lambda_is_taken_back;
    what_is_new_serves_after_its_smoke_test_or_goes =>
        a_new_service_on_cloud_run_is_smoked_before_it_serves_and_goes_where_that_fails,
        a_new_stack_on_lambda_is_smoked_before_it_serves_and_goes_where_that_fails;
}

#[test]
#[ignore = "needs curl, envsubst and jq; .ci/run installs them"]
fn a_block_that_the_template_has_not_is_named() {
    let cloud = Cloud::new(&lambda(), DEAD).with("MISSING", "Migrate");
    let run = cloud.run(&[]);
    assert!(
        message(&run).contains("template.yaml has no block Migrate for functions/migrate"),
        "{}",
        message(&run)
    );
    cloud.assert_serves("old", "a block is missing");
}

#[test]
#[ignore = "needs curl, envsubst, jq and aws-sam-cli; .ci/run installs them"]
fn parameters_reach_a_build_and_a_stack_as_they_were_written() {
    const READ: &str = "import json, sys; from samcli.cli.types import CfnParameterOverridesType as Type; \
                        print(json.dumps(Type().convert(['file://' + sys.argv[1]], None, None)))";
    let cloud = Cloud::new(&lambda(), DEAD);
    let build = cloud.run(&["build"]);
    assert!(build.status.success(), "{}", message(&build));
    let read = Command::new("python3")
        .args(["-c", READ])
        .arg(cloud.file("built.yaml"))
        .output()
        .unwrap();
    let read: serde_json::Value = serde_json::from_slice(&read.stdout).unwrap_or_else(|_| panic!("{}", message(&read)));
    assert_eq!(read["CorsOrigins"], crate::cloud::CORS_ORIGINS);
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let issuers = read["TokenIssuers"].as_str().unwrap();
    assert_eq!(json(issuers), json(crate::cloud::TOKEN_ISSUERS));
    assert_eq!(read["Architecture"], "x86_64");
}
