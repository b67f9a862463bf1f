//! Blocks of `template.yaml`.

use super::{insert_sorted, without};
use crate::commands::new::camel_case;

/// # Errors
/// The name of the block, or of what SAM derives from it, is taken.
pub fn add(template: &str, name: &str, block: &str) -> Result<String, String> {
    let id = camel_case(name);
    if let Some(taken) = taken(template, &id) {
        return Err(format!(
            "template.yaml has a {taken}, or would have one with a schedule, so that {name:?} cannot be the name of a function"
        ));
    }
    let block = block.to_owned() + "\n";
    insert_sorted(template, &blocks(template), &id, &block).ok_or_else(|| "template.yaml has no function".to_owned())
}

pub fn remove(template: &str, name: &str) -> String {
    let (blocks, id) = (blocks(template), camel_case(name));
    let found = blocks.iter().find(|(.., other)| *other == id);
    found.map_or_else(
        || template.to_owned(),
        |(first, end, _)| without(template, *first, *end),
    )
}

/// What SAM makes of a function `X`, beside `X`. The last four are a schedule's, by the names that blocks give their events.
const DERIVED: &[&str] = &[
    "",
    "Role",
    "Url",
    "UrlPublicPermissions",
    "UrlForAll",
    "ForAll",
    "Hourly",
    "HourlyPermission",
    "Schedule",
    "SchedulePermission",
];

/// A name in the template that the new function, or something derived from it, would have as well.
fn taken(template: &str, id: &str) -> Option<String> {
    let derived = |id: &str| DERIVED.iter().map(|end| format!("{id}{end}")).collect::<Vec<_>>();
    let (new, functions) = (derived(id), blocks(template));
    let names = template
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_once(':'));
    let names = names
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()));
    let mut all = names.chain(functions.iter().flat_map(|(.., function)| derived(function)));
    all.find(|name| new.contains(name))
}

/// The lines of each function, and its name: the comment above it, its block, and the paragraphs below that refer to it, each
/// with its empty line.
fn blocks(template: &str) -> Vec<(usize, usize, String)> {
    let lines: Vec<&str> = template.lines().collect();
    let starts = (1..lines.len()).filter(|number| lines[*number].trim() == "Type: AWS::Serverless::Function");
    let blocks = starts.map(|number| {
        let is_comment = |line: &&&str| line.starts_with("  #");
        let comments = lines[..number - 1].iter().rev().take_while(is_comment).count();
        let name = lines[number - 1].trim().trim_end_matches(':');
        let mut end = paragraph(&lines, number);
        while lines[end..paragraph(&lines, end)]
            .iter()
            .any(|line| line.contains(&format!("FunctionName: !Ref {name},")))
        {
            end = paragraph(&lines, end);
        }
        (number - 1 - comments, end, name.to_owned())
    });
    blocks.collect()
}

/// Where the next paragraph begins.
fn paragraph(lines: &[&str], number: usize) -> usize {
    let number = number.min(lines.len());
    let length = lines[number..].iter().take_while(|line| !line.is_empty()).count();
    (number + length + 1).min(lines.len())
}
