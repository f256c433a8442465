"""How much memory is free: limits of the process and of its container count."""

from __future__ import annotations

import pytest

from rasterizer.runtime import host_memory


class TestFreeMemory:
    """Limits of the process and of its container count."""

    @pytest.fixture
    def files(self, monkeypatch: pytest.MonkeyPatch):
        """Sets what the files of the system say."""
        host_memory._limited.cache_clear()

        def put(texts: dict[str, str]) -> None:
            def read(path: str) -> str:
                if path not in texts:
                    raise FileNotFoundError(path)
                return texts[path]

            monkeypatch.setattr(host_memory, "_read", read)

        yield put
        host_memory._limited.cache_clear()

    def group(self, name: str, limit: str, used: int, files: int) -> dict[str, str]:
        folder = f"/sys/fs/cgroup{name}"
        stat = f"anon 5\nactive_file 7\ninactive_file {files << 20}\n"
        return {
            f"{folder}/memory.max": f"{limit}\n",
            f"{folder}/memory.current": f"{used << 20}\n",
            f"{folder}/memory.stat": stat,
        }

    def test_the_tightest_group(self, files) -> None:
        files(
            {"/proc/self/cgroup": "1:cpu:/x\n0::/a/b\n"}
            | self.group("/a/b", str(900 << 20), 300, 50)
            | self.group("/a", str(500 << 20), 400, 100)
            | self.group("", "max", 0, 0)
        )
        assert list(host_memory._of_container()) == [650 << 20, 200 << 20]
        assert host_memory.free_host_memory() == 200 << 20

    def test_a_container_sees_its_own_group_as_the_outermost(self, files) -> None:
        files({"/proc/self/cgroup": "0::/\n"} | self.group("", str(100 << 20), 120, 0))
        assert host_memory.free_host_memory() == 0

    @pytest.mark.parametrize("text", ["", "0::/../x\n", "garbage"])
    def test_no_limit_is_known(self, files, text: str) -> None:
        files({"/proc/self/cgroup": text})
        assert not list(host_memory._of_container()) and host_memory.free_host_memory() > 1 << 20

    def test_of_the_process(self, files, monkeypatch: pytest.MonkeyPatch) -> None:
        resource = pytest.importorskip("resource")
        files({"/proc/self/statm": "1000 1 1\n"})
        assert not list(host_memory._of_process())
        monkeypatch.setattr(resource, "getrlimit", lambda kind: (1 << 30, 2 << 30))
        assert list(host_memory._of_process()) == [(1 << 30) - 1000 * resource.getpagesize()]
        files({})
        assert not list(host_memory._of_process())
