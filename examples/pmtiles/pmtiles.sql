-- Tiles of a PMTiles archive, version 3, whose directories are not compressed.

-- The number of a tile: zoom by zoom, and in each of them along a Hilbert curve.
CREATE FUNCTION pmtiles_id(z int, x int, y int) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    id bigint := ((1::bigint << 2 * z) - 1) / 3;
    swap int;
BEGIN
    IF z NOT BETWEEN 0 AND 30 OR x >> z <> 0 OR y >> z <> 0 THEN
        RAISE EXCEPTION 'there is no tile %/%/%', z, x, y USING ERRCODE = '22023';
    END IF;
    FOR bit IN REVERSE z - 1 .. 0 LOOP
        id := id + (((3 * (x >> bit & 1)) # (y >> bit & 1))::bigint << 2 * bit);
        IF y >> bit & 1 = 0 THEN
            swap := CASE x >> bit & 1 WHEN 1 THEN ~x ELSE x END;
            x := CASE x >> bit & 1 WHEN 1 THEN ~y ELSE y END;
            y := swap;
        END IF;
    END LOOP;
    RETURN id;
END $$;

-- Where the parts of an archive are: root directory, metadata, leaf directories
-- and tiles, each with its offset and its length.
CREATE FUNCTION pmtiles_sections(archive text) RETURNS bigint[] LANGUAGE plpgsql STRICT AS $$
DECLARE
    header bytea := iopool_read(archive, 0, 127);
BEGIN
    IF length(header) < 127 OR substr(header, 1, 8) <> 'PMTiles\003' THEN
        RAISE EXCEPTION '"%" is no PMTiles archive of version 3', archive;
    ELSIF get_byte(header, 97) <> 1 THEN
        RAISE EXCEPTION 'the directories of "%" are compressed', archive USING ERRCODE = '0A000';
    END IF;
    RETURN iopool_int8s(substr(header, 9, 64));
END $$;

-- A directory: columns of numbers, seven bits in a byte.  The run of a leaf is 0.
CREATE FUNCTION pmtiles_directory(data bytea)
RETURNS TABLE (id bigint, run bigint, length bigint, file_offset bigint)
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    numbers bigint[];
    number bigint := 0;
    shift int := 0;
BEGIN
    FOR i IN 0 .. octet_length(data) - 1 LOOP
        number := number | ((get_byte(data, i) & 127)::bigint << shift);
        shift := shift + 7;
        IF get_byte(data, i) < 128 THEN
            numbers := numbers || number;
            number := 0;
            shift := 0;
        END IF;
    END LOOP;
    id := 0;
    FOR i IN 2 .. numbers[1] + 1 LOOP
        id := id + numbers[i];
        run := numbers[i + numbers[1]];
        number := numbers[i + 3 * numbers[1]];      -- 0: right behind the last one
        file_offset := CASE number WHEN 0 THEN file_offset + length ELSE number - 1 END;
        length := numbers[i + 2 * numbers[1]];
        RETURN NEXT;
    END LOOP;
END $$;

-- All tiles of an archive: the first and the last number of a run, and where the
-- bytes of each of its tiles are.
CREATE FUNCTION pmtiles_entries(archive text)
RETURNS TABLE (first_id bigint, last_id bigint, file_offset bigint, length bigint)
LANGUAGE sql STRICT AS $$
    WITH RECURSIVE part AS (SELECT pmtiles_sections(archive) AS at),
    entry AS (
        SELECT d.* FROM part, pmtiles_directory(iopool_read(archive, at[1], at[2])) AS d
        UNION ALL
        SELECT d.*
        FROM   entry e, part, pmtiles_directory(iopool_read(archive, at[5] + e.file_offset, e.length)) AS d
        WHERE  e.run = 0)
    SELECT e.id, e.id + e.run - 1, at[7] + e.file_offset, e.length
    FROM   entry e, part WHERE e.run > 0
$$;

-- One tile, or NULL.  Reads the header, the directories on the way, and the tile.
CREATE FUNCTION pmtiles_tile(archive text, z int, x int, y int) RETURNS bytea
LANGUAGE plpgsql STRICT AS $$
DECLARE
    wanted bigint := pmtiles_id(z, x, y);
    at bigint[] := pmtiles_sections(archive);
    entry record;
    directory bytea := iopool_read(archive, at[1], at[2]);
BEGIN
    FOR depth IN 1 .. 4 LOOP
        SELECT d.* INTO entry FROM pmtiles_directory(directory) AS d
        WHERE  d.id <= wanted ORDER BY d.id DESC LIMIT 1;
        IF NOT FOUND OR entry.run > 0 AND wanted >= entry.id + entry.run THEN
            RETURN NULL;
        ELSIF entry.run > 0 THEN
            RETURN iopool_read(archive, at[7] + entry.file_offset, entry.length);
        END IF;
        directory := iopool_read(archive, at[5] + entry.file_offset, entry.length);
    END LOOP;
    RAISE EXCEPTION 'the directories of "%" are too deep', archive USING ERRCODE = 'XX001';
END $$;
