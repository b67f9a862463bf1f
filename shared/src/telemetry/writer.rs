//! Writes standard error on a separate thread: if its reader stops, records are lost after one short wait, and the process
//! goes on.
//!
//! `O_NONBLOCK` would change the open file, which other processes share. `poll(2)` before each write is not enough: another
//! process may fill the pipe in between, so that the write blocks.

use super::PROCESS;
use std::{
    io::{ErrorKind, Write, stderr},
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How many bytes of records may wait, in addition to those that are being written.
const MAX_WAITING: usize = 256 * 1024;
/// How long a record waits for room. A slow reader makes room by then; for a reader that has stopped, only the first record
/// waits.
const WAIT_TIMEOUT: Duration = Duration::from_millis(250);
/// The stack of the thread, in bytes. The thread only writes, and formats the record of lost records.
const STACK: usize = 128 * 1024;
const THREAD: &str = "log";
/// The pause between two attempts if another process has made standard error non-blocking.
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
    /// How many records were lost and not yet reported.
    dropped: u64,
    /// Whether a wait has timed out since the last batch was written.
    stuck: bool,
    writing: bool,
    has_thread: bool,
}

/// Queues one line, or counts it as dropped if the queue is full.
pub fn write(line: &[u8]) {
    let full = |queue: &mut Queue| !queue.waiting.is_empty() && queue.waiting.len() + line.len() > MAX_WAITING;
    let mut queue = lock();
    // The log thread's record of lost records always has room.
    if full(&mut queue) && thread::current().name() != Some(THREAD) {
        if !queue.stuck {
            let waited = CHANGED.wait_timeout_while(queue, WAIT_TIMEOUT, full);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            queue.stuck = full(&mut queue);
        }
        if full(&mut queue) {
            queue.dropped += 1;
            return;
        }
    }
    queue.waiting.extend_from_slice(line);
    if !queue.has_thread {
        let thread = thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK);
        // If no thread can be started, the line stays queued and the next one tries again.
        queue.has_thread = thread.spawn(run).is_ok();
    }
    CHANGED.notify_all();
}

/// Waits until everything is written, for `limit` at most: before an exit.
pub fn flush(limit: Duration) {
    wait_until_written(lock(), limit);
}

/// Does what [`flush`] does, before each freeze of a Lambda environment. If the reader has stopped, only the first call waits.
pub fn flush_before_freeze(limit: Duration) {
    let queue = lock();
    if !queue.stuck {
        wait_until_written(queue, limit);
    }
}

fn wait_until_written(queue: MutexGuard<'_, Queue>, limit: Duration) {
    let busy = |queue: &mut Queue| queue.writing || !queue.waiting.is_empty() || queue.dropped > 0;
    let waited = CHANGED.wait_timeout_while(queue, limit, busy);
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
        // Line by line: a pipe does not mix short writes of several processes (`PIPE_BUF` in pipe(7)).
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

/// Ignores a closed standard error: there is no other place to report it.
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
