use super::*;

async fn is_full(memory: &PageMemory, bytes: usize) -> bool {
    memory.acquire(bytes, &Deadline::default()).await.is_err()
}

/// As many callers as there are megabytes, each of whom has one.
fn callers(memory: &PageMemory) -> Vec<Permit> {
    let permit = |caller: usize| memory.named(&caller.to_string()).try_acquire(MIB);
    (0..MEMORY / MIB).map(|caller| permit(caller).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_free_again_when_its_bytes_are_gone() {
    let memory = PageMemory::new();
    let mut permits = callers(&memory);
    assert!(is_full(&memory, FREE + 1).await);
    let mut permit = permits.pop().unwrap();
    assert!(permit.fit(MIB / 2));
    let half = memory.try_acquire(MIB / 2).unwrap();
    let permit = Arc::new(permit);
    let bytes = permit.around("page".into());
    let clone = bytes.clone();
    drop((bytes, permit, half));
    assert!(is_full(&memory, MIB).await);
    drop(clone);
    assert!(!is_full(&memory, MIB).await);
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_its_permit_as_soon_as_it_is_free() {
    let memory = PageMemory::new();
    let mut permits = callers(&memory);
    let start = Instant::now();
    let free = async {
        for _ in 0..2 {
            tokio::time::sleep(PATIENCE / 4).await;
            permits.pop();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        is_full = is_full(&memory, 2 * MIB) => assert!(!is_full),
        () = free => {}
    }
    assert_eq!(start.elapsed().as_millis(), PATIENCE.as_millis() / 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_all_gets_all() {
    let memory = PageMemory::new();
    let all = memory.try_acquire(2 * MEMORY);
    assert!(all.is_some() && is_full(&memory, FREE + 1).await);
}

#[test]
fn pages_shrink_with_what_is_left_and_never_end() {
    let memory = PageMemory::new();
    let mut permits = Vec::new();
    let mut limits = Vec::new();
    for _ in 0..1000 {
        let limit = memory.limit(MIB);
        permits.push(memory.try_acquire(limit).expect("there is always a page"));
        limits.push(limit);
    }
    assert_eq!((limits[0], limits[7], limits[999]), (MIB, MIB, FREE));
    assert!(limits.is_sorted_by(|one, next| one >= next), "{limits:?}");
}

#[test]
fn callers_leave_each_other_as_much_as_they_have() {
    let memory = PageMemory::new();
    let mut permits = Vec::new();
    for callers in 1..=8 {
        let caller = memory.named(&callers.to_string());
        let before = memory.taken().all;
        permits.extend(std::iter::from_fn(|| caller.try_acquire(64 << 10)));
        let taken = memory.taken().all - before;
        let left = MEMORY - memory.taken().all;
        assert!(taken <= left && left >= MEMORY >> callers, "{callers}: {taken}, {left}");
        assert!(taken > left / 2, "{taken}: it may have as much as is left, {left}");
    }
}

#[test]
fn a_permit_that_is_too_small_says_so() {
    let memory = PageMemory::new();
    assert!(memory.try_acquire(FREE).unwrap().fit(FREE));
    assert!(!memory.try_acquire(FREE).unwrap().fit(MIB));
}

#[test]
fn nothing_is_left_of_callers_who_have_gone() {
    let memory = PageMemory::new();
    drop(callers(&memory));
    let taken = memory.taken();
    assert!(taken.all == 0 && taken.by.is_empty());
}
