DROP FUNCTION streams.delete, streams.put, streams.matches, streams.draft, streams.release, streams.media_type;
