//! Creation in the model.

use super::{Done, ForkOf, Model, Stream};
use shared::streams::{Create, Expiry, ReadFrom, Refusal};
use std::collections::BTreeMap;

impl Model {
    /// Whether a stream is what is to be created.
    pub(super) fn matches(&self, index: usize, create: &Create) -> bool {
        let stream = &self.streams[index];
        let default = create.fork.is_none().then_some("application/octet-stream");
        let content_type = create.content_type.as_deref().or(default);
        let inherits = create.fork.is_some() && create.expiry.is_none();
        let fork = match (&create.fork, &stream.fork) {
            (None, None) => true,
            (Some(wanted), Some(fork)) => {
                let point = match wanted.at {
                    None | Some(ReadFrom::Tail) => true,
                    Some(ReadFrom::Start) => fork.at <= stream.first_kept,
                    Some(ReadFrom::At(at)) => at.end == fork.at && at.incarnation == stream.holder(at.end),
                };
                point && wanted.sub_offset == fork.sub_offset && self.streams[fork.source].path == wanted.source
            }
            _ => false,
        };
        content_type.is_none_or(|wanted| wanted == stream.content_type)
            && inherits == stream.inherits_expiry
            && (inherits || create.expiry.unwrap_or(Expiry::Never) == stream.expiry)
            && create.closed == stream.closed
            && fork
    }

    /// What is about to be a fork.
    pub(super) fn fork(&self, create: &Create) -> Done<Stream> {
        let fork = create.fork.as_ref().expect("it is a fork");
        let index = self.find(&fork.source).map_err(|refusal| match refusal {
            Refusal::Deleted => Refusal::SourceDeleted,
            _ => Refusal::SourceNotFound,
        })?;
        let source = &self.streams[index];
        if create
            .content_type
            .as_ref()
            .is_some_and(|wanted| *wanted != source.content_type)
        {
            return Err(Refusal::ContentType);
        }
        let at = match fork.at {
            None | Some(ReadFrom::Tail) => source.end(),
            Some(ReadFrom::Start) => source.first_kept,
            Some(ReadFrom::At(at)) => self.place(index, at)?,
        };
        let mut stream = Stream {
            path: create.path.clone(),
            expiry: create.expiry.unwrap_or(source.expiry),
            inherits_expiry: create.expiry.is_none(),
            records: source
                .records
                .iter()
                .filter(|record| record.position.end <= at)
                .cloned()
                .collect(),
            producers: BTreeMap::new(),
            seq: None,
            fork: Some(ForkOf {
                source: index,
                at,
                sub_offset: fork.sub_offset,
            }),
            ..source.clone()
        };
        if fork.sub_offset > 0 {
            let next = source.records.iter().find(|record| record.position.end > at);
            let first = next.and_then(|next| source.first_of(&next.data, fork.sub_offset));
            stream.push(self.incarnation(self.streams.len()), first.ok_or(Refusal::Beyond)?);
        }
        Ok(stream)
    }
}
