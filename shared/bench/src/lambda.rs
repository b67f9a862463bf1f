//! Lambda: from spawn to the first byte of the first answer, and from event to first byte in a warm environment.

use crate::{BARE_LAMBDA, HEALTH, HEALTH_DB, HEALTH_STORAGE, Measured, SSE, STREAMS, median};
use serde_json::Value;
use std::time::{Duration, Instant};
use testing::{Binary, EventShape, FakeRuntimeApi};

pub const COLD_ROUNDS: usize = 30;
const WARM_ROUNDS: usize = 500;

/// The binaries, with the peer first: the ratios are against it.
pub const ALL: [Measured; 6] = [BARE_LAMBDA, HEALTH, SSE, HEALTH_DB, STREAMS, HEALTH_STORAGE];

fn event(measured: Measured) -> Value {
    EventShape::FunctionUrl.event("GET", measured.route, &[])
}

/// The variables without which `lambda_http` does not start. The dependencies are not configured: their round trips
/// would be measured too.
pub fn function(measured: Measured) -> Binary {
    measured
        .function()
        .with("AWS_LAMBDA_FUNCTION_NAME", measured.binary)
        .with("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
        .with("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .with("RUST_LOG", "off")
        .with("SSE_MAX_AGE", "1ms")
}

/// The time from `start` to the first byte of the answer's body, in ms. Then waits for the rest, so that the function is
/// free for the next event; a stream is at its max age.
async fn first_byte(api: &FakeRuntimeApi, measured: Measured, event: &Value, start: Instant) -> f64 {
    let mut posted = api.invoke(event, Duration::from_secs(30)).await;
    if measured.binary == SSE.binary {
        posted.head().await;
    } else {
        posted.chunk().await;
    }
    let time = start.elapsed().as_secs_f64() * 1000.0;
    posted.rest().await;
    time
}

pub async fn cold_starts() {
    let mut times = ALL.map(|_| Vec::new());
    for _ in 0..COLD_ROUNDS {
        for (measured, times) in ALL.into_iter().zip(&mut times) {
            times.push(cold_start(measured, &function(measured), &event(measured)).await);
        }
    }
    println!("\n| cold start, spawn to first byte | ms, median of {COLD_ROUNDS} | ratio |\n|---|---|---|");
    print_ratios(times);
}

/// The time from the spawn of the function to the first byte of its first answer, in ms.
pub async fn cold_start(measured: Measured, function: &Binary, event: &Value) -> f64 {
    let api = FakeRuntimeApi::start().await;
    let start = Instant::now();
    let _process = function.on_lambda(&api);
    first_byte(&api, measured, event, start).await
}

/// The binaries take turns, so that a machine that changes its pace changes it for all of them.
pub async fn warm_invocations() {
    let mut times = ALL.map(|_| Vec::new());
    let mut warm = Vec::new();
    for measured in ALL {
        let api = FakeRuntimeApi::start().await;
        let process = function(measured).on_lambda(&api);
        warm.push((measured, api, event(measured), process));
    }
    for _ in 0..WARM_ROUNDS {
        for ((measured, api, event, _process), times) in warm.iter().zip(&mut times) {
            times.push(first_byte(api, *measured, event, Instant::now()).await);
        }
    }
    println!("\n| warm invocation, event to first byte | ms, median of {WARM_ROUNDS} | ratio |\n|---|---|---|");
    print_ratios(times);
}

fn print_ratios(times: [Vec<f64>; ALL.len()]) {
    let medians = times.map(median);
    for (measured, time) in ALL.iter().zip(medians) {
        println!("| {} | {time:.2} | {:.2} |", measured.binary, time / medians[0]);
    }
}
