DROP FUNCTION streams.delete, streams.put, streams.matches, streams.draft, streams.release, streams.too_large, streams.record_of, streams.fragment;
DROP FUNCTION streams.check_path, streams.check_content_type, streams.refuse, streams.media_type;
