//! The name of this bundle, from `Cargo.toml`.

/// The name as pages and the API document show it, each word with a capital: `my-app` becomes "My App".
pub fn title() -> String {
    let words = shared::BUNDLE.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        first.chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join(" ")
}
