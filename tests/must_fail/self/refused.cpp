// expect: the door is locked
static_assert(sizeof(int) == 1, "the door is locked");
