// expect: rota: refused
// flags: -DREFUSED -DAS_WELL
#if defined(REFUSED) && defined(AS_WELL)
#error "rota: refused"
#endif
