/*-------------------------------------------------------------------------
 *
 * numbers.c
 *	  SQL functions that take bytes as little-endian numbers.
 *
 * iopool_int2s(data), iopool_int4s, iopool_int8s -> array of integers
 * iopool_float2s(data), iopool_float4s, iopool_float8s -> array of floats
 *
 * They compute and nothing else, so they work without iopool being preloaded.
 * They are not LEAKPROOF, because they raise an error that tells the size of
 * their argument.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/memutils.h"

#include "base/compat.h"

/* Elements that are converted between two checks for interrupts. */
#define CHUNK_ELEMENTS 65536

#define HALF_SIZE 2 /* bytes of a half float, which SQL has no type for */

typedef struct NumberType
{
	Oid type;	   /* of the elements of the array */
	int size;	   /* of them, in bytes */
	int data_size; /* bytes of data that each of them is made of */
} NumberType;

/*
 * A half float (IEEE 754 binary16) as the bits of a float, which has a place
 * for each of them: the result is exact.
 */
static uint32
widen_half(uint16 half)
{
	uint32 sign = (uint32) (half & 0x8000) << 16;
	uint32 exponent = (half >> 10) & 0x1f;
	uint32 mantissa = half & 0x3ff;

	if (exponent == 0x1f)
		return sign | 0x7f800000 | mantissa << 13; /* infinity, NaN */
	if (exponent > 0)
		return sign | (exponent + (127 - 15)) << 23 | mantissa << 13;
	if (mantissa == 0)
		return sign;

	/* subnormal: a float of this size has a leading bit, which is implied */
	exponent = 127 - 14;
	while ((mantissa & 0x400) == 0)
	{
		mantissa <<= 1;
		exponent--;
	}
	return sign | exponent << 23 | (mantissa & 0x3ff) << 13;
}

static void
widen_halves(float4 *dest, const char *src, int nelems)
{
	for (int i = 0; i < nelems; i++)
	{
		const unsigned char *bytes =
			(const unsigned char *) src + (Size) i * HALF_SIZE;
		uint32 bits = widen_half((uint16) (bytes[0] | bytes[1] << 8));

		memcpy(&dest[i], &bits, sizeof(bits));
	}
}

#ifdef WORDS_BIGENDIAN
/* Turn the bytes of each element round, in place. */
static void
swap_elements(char *elements, int size, int nelems)
{
	for (int i = 0; i < nelems; i++)
	{
		switch (size)
		{
			case 2:
				((uint16 *) elements)[i] =
					pg_bswap16(((uint16 *) elements)[i]);
				break;
			case 4:
				((uint32 *) elements)[i] =
					pg_bswap32(((uint32 *) elements)[i]);
				break;
			default:
				((uint64 *) elements)[i] =
					pg_bswap64(((uint64 *) elements)[i]);
				break;
		}
	}
}
#else
#define swap_elements(elements, size, nelems) ((void) 0)
#endif

/* An array of that many elements, whose values are not set. */
static ArrayType *
make_array(const NumberType *number, int nelems)
{
	Size size = ARR_OVERHEAD_NONULLS(1) + (Size) nelems * number->size;
	ArrayType *array;

	/* as what core would say of it, also where it fits into memory */
	if ((Size) nelems > MaxArraySize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("array size exceeds the maximum allowed (%d)",
						(int) MaxArraySize)));
	if (!AllocSizeIsValid(size))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("array size exceeds the maximum allowed (%d)",
						(int) MaxAllocSize)));

	array = palloc(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = number->type;
	ARR_DIMS(array)[0] = nelems;
	ARR_LBOUND(array)[0] = 1;
	return array;
}

static Datum
return_numbers(FunctionCallInfo fcinfo, const NumberType *number)
{
	bytea *data = PG_GETARG_BYTEA_PP(0);
	Size len = VARSIZE_ANY_EXHDR(data);
	const char *src = VARDATA_ANY(data);
	int nelems = (int) (len / number->data_size);
	ArrayType *array;
	char *dest;

	if (len % number->data_size != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("data size %zu is not a multiple of element size %d",
						len, number->data_size)));
	if (nelems == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(number->type));

	array = make_array(number, nelems);
	dest = ARR_DATA_PTR(array);
	while (nelems > 0)
	{
		int n = Min(nelems, CHUNK_ELEMENTS);

		CHECK_FOR_INTERRUPTS();
		if (number->data_size != number->size)
			widen_halves((float4 *) dest, src, n);
		else
		{
			memcpy(dest, src, (Size) n * number->size);
			swap_elements(dest, number->size, n);
		}
		src += (Size) n * number->data_size;
		dest += (Size) n * number->size;
		nelems -= n;
	}

	PG_FREE_IF_COPY(data, 0);
	PG_RETURN_ARRAYTYPE_P(array);
}

IOPOOL_FUNCTION(iopool_int2s);
IOPOOL_FUNCTION(iopool_int4s);
IOPOOL_FUNCTION(iopool_int8s);
IOPOOL_FUNCTION(iopool_float2s);
IOPOOL_FUNCTION(iopool_float4s);
IOPOOL_FUNCTION(iopool_float8s);

Datum
iopool_int2s(PG_FUNCTION_ARGS)
{
	static const NumberType number = {INT2OID, sizeof(int16), sizeof(int16)};

	return return_numbers(fcinfo, &number);
}

Datum
iopool_int4s(PG_FUNCTION_ARGS)
{
	static const NumberType number = {INT4OID, sizeof(int32), sizeof(int32)};

	return return_numbers(fcinfo, &number);
}

Datum
iopool_int8s(PG_FUNCTION_ARGS)
{
	static const NumberType number = {INT8OID, sizeof(int64), sizeof(int64)};

	return return_numbers(fcinfo, &number);
}

Datum
iopool_float2s(PG_FUNCTION_ARGS)
{
	static const NumberType number = {FLOAT4OID, sizeof(float4), HALF_SIZE};

	return return_numbers(fcinfo, &number);
}

Datum
iopool_float4s(PG_FUNCTION_ARGS)
{
	static const NumberType number = {FLOAT4OID, sizeof(float4),
									  sizeof(float4)};

	return return_numbers(fcinfo, &number);
}

Datum
iopool_float8s(PG_FUNCTION_ARGS)
{
	static const NumberType number = {FLOAT8OID, sizeof(float8),
									  sizeof(float8)};

	return return_numbers(fcinfo, &number);
}
