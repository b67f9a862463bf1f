//! Faults that pass, and faults that stay.

use super::*;

/// Faults that pass.
const PASSING: [Fault; 6] = [
    Fault::Status(408),
    Fault::Status(429),
    Fault::Status(500),
    Fault::Status(503),
    Fault::Reset,
    Fault::LostAnswer,
];

#[tokio::test]
async fn every_operation_gets_over_every_fault_that_passes_at_every_request_it_makes() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[]);
    let content = content(LARGE);
    // A large put makes 10 requests: at each of them.
    for (fault, at) in [Fault::Status(503), Fault::Reset, Fault::LostAnswer]
        .into_iter()
        .flat_map(|fault| (0..10).map(move |at| (fault, at)))
    {
        let name = format!("{fault:?}/{at}");
        emulator.next(&[vec![Fault::None; at], vec![fault]].concat());
        let put = storage.put(&key(&name), content.clone(), &Put::default()).await;
        put.unwrap_or_else(|error| panic!("{name}: {}", error.chain()));
        assert_eq!(
            storage.head(&key(&name)).await.unwrap().sha256,
            Some(Sha256::of(&content))
        );
    }
    for fault in PASSING {
        for operation in ["put", "copy", "get", "head", "list", "delete"] {
            let (name, small) = (key(&format!("{fault:?}/{operation}")), Bytes::from("x"));
            storage.put(&name, small.clone(), &Put::default()).await.unwrap();
            emulator.next(&[fault]);
            let done = match operation {
                "put" => storage
                    .put(&key(&format!("{name}/put")), small, &Put::default())
                    .await
                    .map(drop),
                "copy" => storage
                    .copy(&name, &key(&format!("{name}/copy")), false)
                    .await
                    .map(drop),
                "get" => read(&storage, name.as_str(), None).await.map(drop),
                "head" => storage.head(&name).await.map(drop),
                "list" => storage.list(None, None, 10).await.map(drop),
                _ => storage.delete(&name).await,
            };
            done.unwrap_or_else(|error| panic!("{operation} {fault:?}: {}", error.chain()));
        }
    }
    assert_eq!(leftovers(&emulator), Vec::<String>::new());
}

#[tokio::test]
async fn a_fault_that_stays_has_a_name_and_ends_within_the_deadline() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[("STORAGE_TIMEOUT", "1s")]);
    storage
        .put(&key("there"), Bytes::from("x"), &Put::default())
        .await
        .unwrap();
    for (fault, kind) in [
        (Fault::Status(401), Kind::Unauthenticated),
        (Fault::Status(403), Kind::Forbidden),
        (Fault::Status(408), Kind::Timeout),
        (Fault::Status(429), Kind::Throttled),
        (Fault::Status(503), Kind::Unreachable),
        (Fault::Reset, Kind::Unreachable),
        (Fault::Silence, Kind::Timeout),
    ] {
        emulator.always(Some(fault));
        let start = Instant::now();
        assert_eq!(storage.head(&key("there")).await.unwrap_err().kind, kind, "{fault:?}");
        assert_eq!(read(&storage, "there", None).await.unwrap_err().kind, kind, "{fault:?}");
        let put = storage.put(&key("new"), Bytes::from("x"), &Put::default()).await;
        assert_eq!(put.unwrap_err().kind, kind, "{fault:?}");
        let large = storage.put(&key("large"), content(LARGE), &Put::default()).await;
        assert_eq!(large.unwrap_err().kind, kind, "{fault:?}");
        assert!(
            start.elapsed() < Duration::from_secs(8),
            "{fault:?} {:?}",
            start.elapsed()
        );
        emulator.always(None);
    }
    assert_eq!(read(&storage, "there", None).await.unwrap(), "x");
}

#[tokio::test]
async fn parts_go_on_while_a_slow_source_is_waited_for() {
    use futures_util::{StreamExt, stream};
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[("STORAGE_TIMEOUT", "1s")]);
    let content = content(LARGE);
    let (first, rest) = (content.slice(..8 << 20), content.slice(8 << 20..));
    let later = stream::once(async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(leftovers(&emulator), ["an upload"], "the first part has not arrived");
        Ok::<_, Infallible>(rest)
    });
    let source = stream::iter([Ok(first)]).chain(later);
    let put = storage.put_stream(&key("slow"), source, &Put::default()).await;
    put.unwrap_or_else(|error| panic!("{}", error.chain()));
    assert!(read(&storage, "slow", None).await.unwrap() == content);
}

#[tokio::test]
async fn a_body_that_breaks_is_continued_and_one_that_always_breaks_is_unreachable() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[("STORAGE_TIMEOUT", "1s")]);
    let content = content(1 << 20);
    storage.put(&key("a"), content.clone(), &Put::default()).await.unwrap();
    emulator.next(&[Fault::Truncated; 3]);
    assert!(read(&storage, "a", None).await.unwrap() == content);
    emulator.next(&[Fault::Truncated]);
    assert!(read(&storage, "a", Some(1000..500_000)).await.unwrap() == content.slice(1000..500_000));
    // Each continuation gets half of what is left, and then nothing does.
    emulator.next(&[Fault::Truncated, Fault::Status(403)]);
    assert_eq!(read(&storage, "a", None).await.unwrap_err().kind, Kind::Forbidden);
}

#[tokio::test]
async fn a_read_that_makes_no_progress_ends_however_often_the_store_answers() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[("STORAGE_TIMEOUT", "2s")]);
    // Half of one byte is no byte at all.
    storage.put(&key("a"), content(1), &Put::default()).await.unwrap();
    emulator.always(Some(Fault::Truncated));
    let (start, before) = (Instant::now(), emulator.requests());
    assert_eq!(read(&storage, "a", None).await.unwrap_err().kind, Kind::Unreachable);
    let requests = emulator.requests() - before;
    assert!((5..25).contains(&requests), "{requests} requests");
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_read_that_gets_a_part_at_each_request_is_whole_in_the_end() {
    let emulator = GcsEmulator::start("evidence").await;
    let storage = on(&emulator, &[("STORAGE_TIMEOUT", "2s")]);
    storage.put(&key("a"), content(4096), &Put::default()).await.unwrap();
    let before = emulator.requests();
    emulator.next(&[Fault::Truncated; 10]);
    assert_eq!(read(&storage, "a", None).await.unwrap(), content(4096));
    assert_eq!(emulator.requests() - before, 11, "each was cut");
}
