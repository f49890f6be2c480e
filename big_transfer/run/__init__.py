"""What any run needs: its workdir, progress lines, the device mesh, preemption, memory."""
