-- An index of the documents in a file with one JSON document a line.

-- The lines of a file from an offset on, without what ends them.  A last line that
-- has no end is left for the next time.  The file is read a block at a time.
CREATE FUNCTION jsonl_lines(path text, start bigint DEFAULT 0, block int DEFAULT 1048576)
RETURNS TABLE (file_offset bigint, length bigint)
LANGUAGE plpgsql STRICT AS $$
DECLARE
    at bigint := start;
    piece record;
    data bytea;
BEGIN
    file_offset := start;
    LOOP
        data := iopool_read(path, at, block);
        EXIT WHEN octet_length(data) = 0;
        -- As LATIN1, each byte is a character.
        FOR piece IN
            SELECT char_length(p.text) AS size, row_number() OVER () < count(*) OVER () AS is_end
            FROM   string_to_table(convert_from(data, 'LATIN1'), E'\n') AS p(text)
        LOOP
            at := at + piece.size;
            IF piece.is_end THEN
                length := at - file_offset;
                RETURN NEXT;
                at := at + 1;
                file_offset := at;
            END IF;
        END LOOP;
    END LOOP;
END $$;

CREATE TABLE event (
    id int PRIMARY KEY,
    kind text NOT NULL,
    file_offset bigint NOT NULL,
    length bigint NOT NULL
);
CREATE INDEX ON event (kind);
CREATE INDEX ON event (file_offset);

-- Adds the lines that have come since the last time; returns how many.
CREATE FUNCTION jsonl_update(path text) RETURNS bigint LANGUAGE sql STRICT AS $$
    WITH line AS (
        INSERT INTO event
        SELECT (e.document->>'id')::int, e.document->>'kind', e.file_offset, e.length
        FROM   (SELECT l.file_offset, l.length,
                       convert_from(iopool_read(path, l.file_offset, l.length), 'UTF8')::jsonb AS document
                FROM   jsonl_lines(path, (SELECT coalesce(max(file_offset + length + 1), 0) FROM event)) AS l) e
        RETURNING 1)
    SELECT count(*) FROM line
$$;
