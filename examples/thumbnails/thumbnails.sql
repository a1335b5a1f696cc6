-- Thumbnails below a directory, as a table: a row for each file.

CREATE FOREIGN TABLE thumbnail (
    path     text,
    size     bigint,
    modified timestamptz,
    data     bytea
) SERVER example_thumbnails OPTIONS (pattern '**/thumb/*.png');

-- Width and height are in the header of a PNG file, big-endian.
CREATE FUNCTION png_size(png bytea, OUT width int, OUT height int)
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (('x' || encode(substr(png, 17, 4), 'hex'))::bit(32)::int,
        ('x' || encode(substr(png, 21, 4), 'hex'))::bit(32)::int);

-- A page of an album such as '2024/05', the newest pictures first.  The condition
-- on the path leaves out all other albums before they are looked into.
CREATE FUNCTION album_page(album text, page int, page_size int = 12)
RETURNS TABLE (name text, width int, height int, data bytea)
LANGUAGE sql STABLE STRICT AS $$
    SELECT regexp_replace(t.path, '.*/', ''), s.width, s.height, t.data
    FROM   thumbnail AS t, png_size(t.data) AS s
    WHERE  t.path ^@ ('example_thumbnails:' || album || '/')
    ORDER  BY t.modified DESC
    LIMIT  page_size OFFSET (page - 1) * page_size
$$;
