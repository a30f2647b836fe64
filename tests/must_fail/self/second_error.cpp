// expect: the house is on fire
static_assert(sizeof(int) == 1, "the door is locked");
static_assert(sizeof(int) == 1, "the house is on fire");
