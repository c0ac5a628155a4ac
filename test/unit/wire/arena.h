/* arena: a test's own memory: setup() and teardown() of tests that keep what they read in it. */
#pragma once
#include "base/mem.h"

static struct fl_arena arena;

static int setup(void **state)
{
	(void)state;
	fl_arena_init(&arena, NULL, 0, NULL, 1 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fl_arena_finish(&arena);
	return 0;
}
