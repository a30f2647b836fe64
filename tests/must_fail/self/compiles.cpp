// expect: nothing, this file is correct
int main() {}
