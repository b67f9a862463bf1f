//! Standard error, written by a thread of its own: a reader that stops costs log records and one short wait.
//!
//! Not by `O_NONBLOCK`: that is a property of the open file, which this process shares with others. Not by `poll(2)` before
//! each write: another process may fill the pipe in between, and the write waits.

use super::PROCESS;
use std::{
    io::{ErrorKind, Write, stderr},
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How many bytes of records wait at most, beside those that are being written.
const MAX_WAITING: usize = 256 * 1024;
/// How long a record waits for room. A reader that is only slow makes some; one that stopped is waited for once.
const PATIENCE: Duration = Duration::from_millis(250);
/// The thread writes, and formats one kind of record.
const STACK: usize = 128 * 1024;
const THREAD: &str = "log";
/// Between two attempts where another process has made standard error non-blocking.
const RETRY: Duration = Duration::from_millis(10);

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    waiting: Vec::new(),
    dropped: 0,
    stuck: false,
    writing: false,
    has_thread: false,
});
static CHANGED: Condvar = Condvar::new();

struct Queue {
    /// Whole lines.
    waiting: Vec<u8>,
    /// Records that had no room since the last one that tells their number.
    dropped: u64,
    /// Somebody has waited in vain since the last batch was written.
    stuck: bool,
    writing: bool,
    has_thread: bool,
}

/// Queues one line, or counts it as dropped where too many wait already.
pub fn write(line: &str) {
    let full = |queue: &mut Queue| !queue.waiting.is_empty() && queue.waiting.len() + line.len() > MAX_WAITING;
    let mut queue = lock();
    // The one record that tells what was dropped has room.
    if full(&mut queue) && thread::current().name() != Some(THREAD) {
        if !queue.stuck {
            let waited = CHANGED.wait_timeout_while(queue, PATIENCE, full);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            queue.stuck = full(&mut queue);
        }
        if full(&mut queue) {
            queue.dropped += 1;
            return;
        }
    }
    queue.waiting.extend_from_slice(line.as_bytes());
    if !queue.has_thread {
        let thread = thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK);
        // Without a thread the line waits, and the next one tries again.
        queue.has_thread = thread.spawn(run).is_ok();
    }
    CHANGED.notify_all();
}

/// Waits until everything is written, for so long at most: before an exit.
pub fn flush(patience: Duration) {
    wait_until_written(lock(), patience);
}

/// The same before each freeze, where a reader that stopped is waited for once.
pub fn flush_before_freeze(patience: Duration) {
    let queue = lock();
    if !queue.stuck {
        wait_until_written(queue, patience);
    }
}

fn wait_until_written(queue: MutexGuard<'_, Queue>, patience: Duration) {
    let busy = |queue: &mut Queue| queue.writing || !queue.waiting.is_empty() || queue.dropped > 0;
    let waited = CHANGED.wait_timeout_while(queue, patience, busy);
    let (mut queue, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
    queue.stuck |= timeout.timed_out();
}

fn run() {
    loop {
        let idle = |queue: &mut Queue| queue.waiting.is_empty();
        let mut queue = CHANGED.wait_while(lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let (lines, dropped) = (mem::take(&mut queue.waiting), mem::take(&mut queue.dropped));
        queue.writing = true;
        drop(queue);
        CHANGED.notify_all();
        // One by one: short writes to a pipe are not mixed with those of other processes (pipe(7), PIPE_BUF).
        lines.split_inclusive(|byte| *byte == b'\n').for_each(write_out);
        if dropped > 0 {
            tracing::warn!(target: PROCESS, dropped, "log records were lost: nobody read standard error");
        }
        let mut queue = lock();
        (queue.writing, queue.stuck) = (false, false);
        drop(queue);
        CHANGED.notify_all();
    }
}

/// Where standard error is gone, nobody is left to be told.
fn write_out(mut line: &[u8]) {
    while !line.is_empty() {
        match stderr().write(line) {
            Ok(0) => return,
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(_) => return,
        }
    }
}

fn lock() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}
