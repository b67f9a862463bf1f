//! Handlers with spans: as functions use them, and as no function should.

use super::HOSTILE;
use axum::http::StatusCode;
use shared::{parameters::Path, runtime::Route, telemetry};
use std::{mem, time::Duration};
use tracing::{Instrument, Span, debug_span, error_span, field::Empty, info, info_span, instrument};

pub fn routes() -> [Route; 10] {
    [
        Route::get("/orders/{order}", order),
        Route::get("/orders/{order}/tasks", tasks),
        Route::get("/orders/{order}/causes", causes),
        Route::get("/orders/{order}/failure", failure),
        Route::get("/levels", levels),
        Route::get("/clashes", clashes),
        Route::get("/huge", huge),
        Route::get("/deep/{depth}", deep),
        Route::get("/forgotten/{secret}", forgotten),
        Route::get("/leaked/{count}", leaked),
    ]
}

#[instrument(skip_all, fields(order, customer))]
async fn order(Path(order): Path<u64>) {
    Span::current().record("order", order);
    info!("received");
    Span::current().record("customer", "Ada");
    charge(order % 10).await;
    info!(order = "of the event", "ordered");
}

#[instrument]
async fn charge(amount: u64) {
    tokio::time::sleep(Duration::from_millis(amount)).await;
    info!("charged");
}

#[instrument]
async fn tasks(Path(order): Path<u64>) {
    let tasks = [
        telemetry::spawn(async { info!("spawned by telemetry") }),
        tokio::spawn(async { info!("spawned with the span") }.in_current_span()),
        tokio::spawn(async { info!("spawned by itself") }),
        tokio::task::spawn_blocking({
            let span = Span::current();
            move || span.in_scope(|| info!("in a thread"))
        }),
    ];
    for task in tasks {
        let _ = task.await;
    }
}

#[instrument(skip_all)]
async fn causes(Path(order): Path<u64>) {
    let cause = info_span!("cause", order);
    let effect = info_span!(parent: None, "effect", amount = u64::MAX, rate = 0.5, paid = true, due = -1);
    effect.follows_from(&cause);
    effect.in_scope(|| info!("in the effect"));
    info!(parent: &cause, "beside the cause");
    let later = info_span!(parent: &cause, "later");
    drop(cause);
    later.in_scope(|| info!("after the cause has ended"));
    info!(parent: None, "outside");
}

#[instrument(err(Debug))]
async fn failure(Path(order): Path<u64>) -> Result<(), StatusCode> {
    Err(StatusCode::INTERNAL_SERVER_ERROR)
}

async fn levels() {
    let outer = error_span!("outer", error = 1).entered();
    let hidden = debug_span!("hidden", debug = 2).entered();
    let inner = info_span!("inner", info = 3).entered();
    info!("leveled");
    drop((inner, hidden, outer));
}

async fn clashes() {
    let outer = info_span!(
        "outer",
        level = "forged",
        request_id = "forged",
        requestId = "forged",
        severity = "forged",
        target = "forged",
        timestamp = "forged",
        trace_id = "forged",
        span = "forged",
        _aws = "forged",
        "logging.googleapis.com/trace" = "forged",
        message = "outer message",
        both = "outer",
    );
    let inner = info_span!(parent: &outer, "inner", text = HOSTILE, debug = ?HOSTILE, both = "inner", nan = f64::NAN);
    inner.in_scope(|| info!(level = "forged too", "clashed"));
}

async fn huge() {
    let text = "ä".repeat(8 << 20);
    let span = info_span!("huge", text, debug = ?vec!["x"; 1 << 20], later = Empty);
    span.record("later", &text);
    span.in_scope(|| info!("after huge fields"));
}

async fn deep(Path(depth): Path<u64>) {
    let spans: Vec<_> = (0..depth).map(|depth| info_span!("deep", depth).entered()).collect();
    info!(of = depth, "at the ground");
    // From the outermost on, in the wrong order.
    drop(spans);
}

/// Forgets the guard of a span.
async fn forgotten(Path(secret): Path<String>) {
    mem::forget(info_span!("forgotten", secret).entered());
    info!("in the same request");
}

async fn leaked(Path(count): Path<u64>) {
    for number in 0..count {
        mem::forget(info_span!("leaked", number, padding = "0123456789"));
    }
}
