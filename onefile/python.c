/* The interpreter as it is, to compile modules with. */

extern int Py_BytesMain(int, char **);

int main(int argc, char **argv) { return Py_BytesMain(argc, argv); }
