/* The executable: Debian's CPython, and behind it in the same file a zip archive of all that it imports.

   Nothing of the node's Python has a say: no environment variable, no site folder, no file beside the executable. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sys/mman.h>

#define SELF L"/proc/self/exe" /* also the file that runs where its path has been replaced or lies in another root */

/* Makes the linker name librt, so that it is loaded before any module that names it. For glibc before 2.31 keeps it, not yet relocated, when
   the loading of such a module first fails for another library that is missing, and the process ends at the next attempt:
   https://sourceware.org/bugzilla/show_bug.cgi?id=20839 */
static int (*volatile of_librt)(const char *, int, mode_t) = shm_open;

static void give_up(PyStatus status) {
  if (PyStatus_Exception(status)) Py_ExitStatusException(status);
}

int main(int argc, char **argv) {
  (void)of_librt; /* volatile: neither compiler nor linker may leave it out */
  if (access("/proc/self/exe", R_OK) != 0) {
    fputs("k8sdoctor: this executable reads itself through /proc/self/exe, which is not there: mount /proc\n", stderr);
    return 3;
  }

  PyPreConfig before;
  PyPreConfig_InitPythonConfig(&before);
  before.use_environment = 0;
  give_up(Py_PreInitialize(&before));

  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  config.use_environment = 0;
  config.user_site_directory = 0;
  config.site_import = 0;
  config.write_bytecode = 0;
  config.safe_path = 1;
  config.parse_argv = 0;
  config.pathconfig_warnings = 0;
  config.module_search_paths_set = 1;
  give_up(PyConfig_SetBytesArgv(&config, argc, argv));
  /* With a home CPython looks for no ._pth file and no pybuilddir.txt beside the executable: whoever can write to /tmp may lay one there. */
  wchar_t **told[] = {&config.home, &config.executable, &config.base_executable, &config.prefix, &config.base_prefix,
                      &config.exec_prefix, &config.base_exec_prefix, &config.stdlib_dir};
  for (size_t each = 0; each < sizeof told / sizeof *told; each++) give_up(PyConfig_SetString(&config, told[each], SELF));
  give_up(PyWideStringList_Append(&config.module_search_paths, SELF));
  give_up(PyConfig_SetString(&config, &config.run_command, L"from k8sdoctor_onefile import main; main()"));
  give_up(Py_InitializeFromConfig(&config));
  PyConfig_Clear(&config);
  return Py_RunMain();
}
