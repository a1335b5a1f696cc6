-- Members of a zip archive by name.  Its directory is at the end.

-- The number in some bytes, little-endian.
CREATE FUNCTION zip_number(data bytea, at int, size int) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (iopool_int8s(substr(data, at + 1, size) || substr('\x0000000000000000'::bytea, size + 1)))[1];

-- The directory of an archive.
CREATE FUNCTION zip_directory(archive text)
RETURNS TABLE (name text, method int, size bigint, stored_size bigint, header_offset bigint)
LANGUAGE plpgsql STRICT AS $$
DECLARE
    -- the last record, a comment of up to 65535 bytes, and what may be before it
    tail bytea := iopool_read(archive, -65577, 65577);
    directory bytea;
    nmembers bigint;
    at int;
    extra int;
    number int;
BEGIN
    -- The comment of the last record ends with the file.
    SELECT i INTO at FROM generate_series(length(tail) - 22, 0, -1) AS i
    WHERE  substr(tail, i + 1, 4) = 'PK\005\006' AND zip_number(tail, i + 20, 2) = length(tail) - i - 22
    LIMIT  1;
    IF NOT FOUND THEN
        RAISE EXCEPTION '"%" is no zip archive', archive;
    END IF;
    nmembers := zip_number(tail, at + 10, 2);
    size := zip_number(tail, at + 12, 4);
    header_offset := zip_number(tail, at + 16, 4);
    IF at >= 20 AND substr(tail, at - 19, 4) = 'PK\006\007' THEN    -- zip64
        tail := iopool_read(archive, zip_number(tail, at - 12, 8), 56);
        nmembers := zip_number(tail, 32, 8);
        size := zip_number(tail, 40, 8);
        header_offset := zip_number(tail, 48, 8);
    END IF;
    directory := iopool_read(archive, header_offset, size);
    at := 0;
    FOR i IN 1 .. nmembers LOOP
        IF substr(directory, at + 1, 4) IS DISTINCT FROM 'PK\001\002' THEN
            RAISE EXCEPTION 'the directory of "%" is damaged', archive USING ERRCODE = 'XX001';
        END IF;
        method := zip_number(directory, at + 10, 2);
        stored_size := zip_number(directory, at + 20, 4);
        size := zip_number(directory, at + 24, 4);
        header_offset := zip_number(directory, at + 42, 4);
        extra := at + 46 + zip_number(directory, at + 28, 2);
        name := convert_from(substr(directory, at + 47, extra - at - 46), 'UTF8');
        at := extra + zip_number(directory, at + 30, 2) + zip_number(directory, at + 32, 2);
        -- zip64: what does not fit is in the extra field 1, in this order
        WHILE 4294967295 IN (size, stored_size, header_offset) AND extra < at LOOP
            number := extra + 4;
            extra := number + zip_number(directory, extra + 2, 2);
            CONTINUE WHEN zip_number(directory, number - 4, 2) <> 1;
            IF size = 4294967295 THEN
                size := zip_number(directory, number, 8);
                number := number + 8;
            END IF;
            IF stored_size = 4294967295 THEN
                stored_size := zip_number(directory, number, 8);
                number := number + 8;
            END IF;
            IF header_offset = 4294967295 THEN
                header_offset := zip_number(directory, number, 8);
            END IF;
        END LOOP;
        RETURN NEXT;
    END LOOP;
END $$;

-- The directory with the place of the bytes, which follow a header of their own.
CREATE FUNCTION zip_members(archive text)
RETURNS TABLE (name text, method int, size bigint, stored_size bigint, file_offset bigint)
LANGUAGE sql STRICT AS $$
    SELECT d.name, d.method, d.size, d.stored_size,
           d.header_offset + 30 + zip_number(h.data, 0, 2) + zip_number(h.data, 2, 2)
    FROM   zip_directory(archive) AS d, iopool_read(archive, d.header_offset + 26, 4) AS h(data)
$$;

-- One member; NULL, if there is none of that name.
CREATE FUNCTION zip_read(archive text, member text) RETURNS bytea
LANGUAGE plpgsql STRICT AS $$
DECLARE
    found record;
BEGIN
    SELECT * INTO found FROM zip_members(archive) AS m WHERE m.name = member;
    IF found.method <> 0 THEN
        RAISE EXCEPTION 'member "%" of "%" is compressed', member, archive USING ERRCODE = '0A000';
    END IF;
    RETURN iopool_read(archive, found.file_offset, found.size);
END $$;
