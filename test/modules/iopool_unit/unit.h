/*-------------------------------------------------------------------------
 *
 * unit.h
 *	  What the white-box tests share: checks, and the list of cases.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IOPOOL_UNIT_H
#define IOPOOL_UNIT_H

/* A check that fails raises, naming itself. */
#define CHECK(claim)                                     \
	do                                                   \
	{                                                    \
		if (!(claim))                                    \
			unit_fail(__FILE__, __LINE__, "%s", #claim); \
	} while (0)

#define CHECK_EQUAL(actual, expected)                                       \
	do                                                                      \
	{                                                                       \
		int64 actual_ = (int64) (actual);                                   \
		int64 expected_ = (int64) (expected);                               \
                                                                            \
		if (actual_ != expected_)                                           \
			unit_fail(__FILE__, __LINE__, "%s is %lld, expected %lld",      \
					  #actual, (long long) actual_, (long long) expected_); \
	} while (0)

/*
 * A case sets up what it needs by itself.  Random cases repeat `rounds`
 * times; the others take no notice of it.
 */
typedef struct UnitCase
{
	const char *name;
	void (*run)(int rounds);
} UnitCase;

extern void unit_fail(const char *file, int line, const char *format, ...)
	pg_attribute_printf(3, 4) __attribute__((noreturn));

/* Each ends with an entry without a name. */
extern const UnitCase unit_lease_cases[];
extern const UnitCase unit_pool_cases[];
extern const UnitCase unit_plan_cases[];
extern const UnitCase unit_read_cost_cases[];
extern const UnitCase unit_stats_cases[];
extern const UnitCase unit_stream_cases[];

#endif /* IOPOOL_UNIT_H */
